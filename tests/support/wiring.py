"""Random networks between hosts: what is there, and who can reach whom by it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import combinations

from support.scene import Scene

OWN_NAMES = ("localhost", "127.0.0.1", "0.0.0.0", "::1", "node0")
_GROUP = "7"  # of what is made, to be removed by it
_PREFIXES = ("eth", "ens", "ib", "mgmt")
_PATTERNS = ("eth", "ib,eth", "mgmt,e", "^docker", "^mgmt,docker", "=eth0,=ens1,mgmt", "^=eth0")


@dataclass(frozen=True)
class Network:
    """Some hosts on one wire. By host: which families it has an address of there, "4", "6" or "46"."""

    device: str
    families: dict[int, str]
    link_local: bool  # each has an address that it gave itself, besides of those
    live: bool = True  # else the interfaces are up, but the cable is in at one end only

    def joins(self, one: int, other: int) -> bool:
        """Whether packets of one family get from one to the other and back."""
        if not self.live or one not in self.families or other not in self.families:
            return False
        return self.link_local or bool(set(self.families[one]) & set(self.families[other]))

    def address(self, host: int, family: str) -> str:
        number = int("".join(filter(str.isdigit, self.device)))
        return f"10.{100 + number}.0.{host + 1}" if family == "4" else f"fd{number:02}::{host + 1}"


@dataclass
class Wiring:
    """The networks of `hosts` hosts, and what stands beside them that is of no use."""

    hosts: int
    networks: list[Network] = field(default_factory=list)
    bridges: set[int] = field(default_factory=set)  # hosts with a docker0 of the same address
    dead_ends: set[int] = field(default_factory=set)  # hosts with an interface on which nobody answers
    default_routes: dict[int, str] = field(default_factory=dict)  # through a neighbour, who forwards nothing
    pattern: str = ""  # TORCH_RING_IFNAME, on all

    @classmethod
    def draw(cls, dice: random.Random) -> Wiring:
        """Mostly one in which all can reach each other: the others take their time."""
        while True:
            wiring = cls(hosts=dice.choice((2, 3)))
            everybody = list(range(wiring.hosts))
            wiring.networks = [wiring._draw_network(dice, number) for number in range(dice.randint(1, 5))]
            wiring.bridges = {host for host in everybody if dice.random() < 0.5}
            wiring.dead_ends = {host for host in everybody if dice.random() < 0.3}
            if dice.random() < 0.25:
                wiring.pattern = dice.choice(_PATTERNS)
            else:
                wiring._draw_default_routes(dice)
            if not wiring.cut_off() or dice.random() < 0.1:
                return wiring

    def _draw_network(self, dice: random.Random, number: int) -> Network:
        everybody = list(range(self.hosts))
        members = dice.choice([everybody, *map(list, combinations(everybody, 2))])
        families = {host: dice.choice(("4", "6", "46")) for host in members}
        link_local = dice.random() < 0.2
        if link_local and dice.random() < 0.7:
            families = dict.fromkeys(members, "")
        device = f"{dice.choice(_PREFIXES)}{number}"
        return Network(device, families, link_local, live=dice.random() < 0.8)

    def _draw_default_routes(self, dice: random.Random) -> None:
        for host in range(self.hosts):
            gateways = [
                network.address(other, "4")
                for network in self.networks
                for other, families in network.families.items()
                if other != host
                and network.live
                and "4" in families
                and "4" in network.families.get(host, "")
            ]
            if gateways and dice.random() < 0.4:
                self.default_routes[host] = dice.choice(gateways)

    def chosen(self, device: str) -> bool:
        """Whether the pattern, in NCCL's syntax, chooses that interface."""
        if not self.pattern:
            return True
        exact = self.pattern.lstrip("^").startswith("=")
        found = any(
            device == word.lstrip("=") if exact or word.startswith("=") else device.startswith(word)
            for word in self.pattern.lstrip("^").split(",")
        )
        return found != self.pattern.startswith("^")

    def chooses_nothing_on(self, host: int) -> bool:
        devices = [
            network.device
            for network in self.networks
            # An interface gives itself an address when somebody is at the other end.
            if network.families.get(host)
            or (host in network.families and network.link_local and network.live)
        ]
        devices += ["docker0"] * (host in self.bridges) + ["spare0"] * (host in self.dead_ends)
        return not any(map(self.chosen, devices))

    def cut_off(self) -> set[tuple[int, int]]:
        """The pairs of hosts that cannot reach each other."""
        usable = [network for network in self.networks if self.chosen(network.device)]
        pairs = combinations(range(self.hosts), 2)
        return {pair for pair in pairs if not any(network.joins(*pair) for network in usable)}

    def own_addresses(self, host: int) -> list[str]:
        return [
            network.address(host, one) for network in self.networks for one in network.families.get(host, "")
        ]

    def store_addresses(self, scene: Scene, host: int) -> list[str]:
        """By which that host reaches host 0, whatever the pattern chooses."""
        found = []
        for network in self.networks:
            if network.joins(0, host):
                for family in sorted(set(network.families[0]) & set(network.families[host])):
                    found.append(network.address(0, family))
                if network.link_local:
                    found.append(f"{scene.link_local(0, network.device)}%{network.device}")
        return found

    def build(self, scene: Scene) -> None:
        """In a scene with a switch."""
        switch = scene.switch
        here: dict[int, list[str]] = {host: [] for host in (*range(self.hosts), scene.switch)}
        for number, network in enumerate(self.networks):
            here[switch].append(f"link add wire{number} type bridge")
            here[switch].append(f"link set wire{number} group {_GROUP} up")
            for host in network.families:
                port = f"port{number}.{host}"
                far = f"type veth peer name {network.device} netns {scene.namespace(host)}"
                here[switch].append(f"link add {port} {far}")
                state = "up" if network.live else "down"
                here[switch].append(f"link set {port} group {_GROUP} master wire{number} {state}")
                mode = "eui64" if network.link_local else "none"
                here[host].append(f"link set {network.device} addrgenmode {mode} up")
                for family in network.families[host]:
                    length = 24 if family == "4" else 64
                    here[host].append(
                        f"address add {network.address(host, family)}/{length} dev {network.device}"
                    )
        for host in range(self.hosts):
            if host in self.bridges:
                here[host].append("link add docker0 type bridge")
                here[host].append("address add 172.17.0.1/16 dev docker0")
                here[host].append(f"link set docker0 group {_GROUP} up")
            if host in self.dead_ends:
                far = f"type veth peer name spare0 netns {scene.namespace(host)}"
                here[switch].append(f"link add spare{host} {far}")
                here[switch].append(f"link set spare{host} group {_GROUP} up")
                here[host].append("link set spare0 addrgenmode none up")
                here[host].append(f"address add 10.99.0.{host + 1}/24 dev spare0")
            if host in self.default_routes:
                here[host].append(f"route add default via {self.default_routes[host]}")
        scene.batch(switch, here[switch])  # first: the interfaces of the others are the far ends
        for host in range(self.hosts):
            scene.batch(host, here[host])

    def remove(self, scene: Scene) -> None:
        for host in (scene.switch, *self.bridges):
            scene.ip(host, "link", "delete", "group", _GROUP)  # all at once, which is quicker
