// See config.h. The table below is the only place that knows a variable's name, default and limits.
#include "ring/base/config.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <string_view>

#include "ring/base/error.h"

extern char** environ;

namespace ring {
namespace {

constexpr const char* kPrefix = "TORCH_RING_";

struct Row {
    Parameter text;
    std::function<void(Config&, const std::string&)> set;  // throws ConfigError
    std::function<std::string(const Config&)> get;
};

// Who may set it, and how.
enum class Scope {
    kProcess,     // for all groups of a process
    kGroup,       // for each group
    kGroupAlike,  // for each group, the same on all of its ranks
};

Parameter describe(const char* name, Scope scope, const char* type, std::string allowed, std::string standard,
                   const char* unit, const char* meaning) {
    return {.name = name,
            .type = type,
            .allowed = std::move(allowed),
            .default_value = std::move(standard),
            .unit = unit,
            .meaning = meaning,
            .per_group = scope != Scope::kProcess,
            .alike = scope == Scope::kGroupAlike};
}

[[noreturn]] void refuse(const Parameter& row, const std::string& value) {
    throw ConfigError(row.name + "='" + value + "' is not allowed; allowed: " + row.allowed +
                      " (default: " + (row.default_value.empty() ? "unset" : row.default_value) +
                      "). It means: " + row.meaning);
}

// A `standard` below `low` means: unset.
template <typename Number>
Row number(const char* name, Scope scope, Number Config::* field, Number low, Number high, Number standard,
           const char* unit, const char* meaning) {
    const Parameter text = describe(name, scope, "int", std::to_string(low) + " .. " + std::to_string(high),
                                    standard < low ? "" : std::to_string(standard), unit, meaning);
    return {
        text,
        [=](Config& config, const std::string& value) {
            if (value.empty() && standard < low) {
                config.*field = standard;
                return;
            }
            Number parsed{};
            const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
            if (error != std::errc() || end != value.data() + value.size() || parsed < low || parsed > high)
                refuse(text, value);
            config.*field = parsed;
        },
        [=](const Config& config) { return config.*field < low ? "" : std::to_string(config.*field); }};
}

template <typename Value>
Row choice(const char* name, Scope scope, Value Config::* field,
           std::vector<std::pair<const char*, Value>> values, const char* standard, const char* meaning) {
    Parameter text = describe(name, scope, "str", "", standard, "", meaning);
    for (const auto& [word, _] : values)
        text.allowed += (text.allowed.empty() ? "" : ", ") + std::string(word);
    return {text,
            [=](Config& config, const std::string& value) {
                for (const auto& [word, meant] : values)
                    if (value == word) {
                        config.*field = meant;
                        return;
                    }
                refuse(text, value);
            },
            [=](const Config& config) {
                for (const auto& [word, meant] : values)
                    if (config.*field == meant) return std::string(word);
                return std::string();
            }};
}

Row word(const char* name, Scope scope, std::string Config::* field, const char* allowed,
         const char* meaning) {
    return {describe(name, scope, "str", allowed, "", "", meaning),
            [=](Config& config, const std::string& value) { config.*field = value; },
            [=](const Config& config) { return config.*field; }};
}

Row port_range() {
    const Parameter text = describe("TORCH_RING_PORT_RANGE", Scope::kProcess, "str",
                                    "FIRST-LAST such as 40000-40015, or one port", "", "",
                                    "the TCP ports to listen on, one per process, instead of any free one");
    return {text,
            [=](Config& config, const std::string& value) {
                const size_t dash = value.find('-');
                const auto first = parse_port(value.substr(0, dash));
                const auto last = dash == std::string::npos ? first : parse_port(value.substr(dash + 1));
                if (!first || !last || *last < *first) refuse(text, value);
                config.port_range = {*first, *last};
            },
            [](const Config& config) {
                const auto& [first, last] = config.port_range;
                return first == 0 ? "" : std::to_string(first) + "-" + std::to_string(last);
            }};
}

Row advertise() {
    const Parameter text = describe(
        "TORCH_RING_ADVERTISE", Scope::kProcess, "str", "HOST, HOST:PORT or [IPV6]:PORT", "", "",
        "an address, and port, by which the other hosts shall call this process first, where they are not "
        "those that it listens on: behind NAT, or a container's mapped port");
    return {text,
            [=](Config& config, const std::string& value) {
                const auto endpoint = parse_endpoint(value);
                if (!endpoint) refuse(text, value);
                config.advertise = *endpoint;
            },
            [](const Config& config) {
                const auto& [address, port] = config.advertise;
                if (port == 0) return address;
                const bool ipv6 = address.find(':') != std::string::npos;
                return (ipv6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
            }};
}

Row secret_file() {
    const Parameter text = describe("TORCH_RING_SECRET_FILE", Scope::kProcess, "str",
                                    "the path of a readable file that is not empty", "", "",
                                    "a file that holds the job's secret, instead of TORCH_RING_SECRET");
    return {text,
            [=](Config& config, const std::string& value) {
                std::string secret;
                try {
                    std::ifstream file(value, std::ios::binary);
                    secret.assign(std::istreambuf_iterator<char>(file), {});
                } catch (const std::ios_base::failure&) {
                    secret.clear();  // such as of a folder
                }
                while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
                if (secret.empty()) refuse(text, value);
                if (!config.secret.empty())
                    throw ConfigError(
                        "TORCH_RING_SECRET and TORCH_RING_SECRET_FILE are both set; unset one of them");
                config.secret = secret;
            },
            [](const Config&) { return std::string(); }};
}

const std::vector<Row>& table() {
    static const std::vector<Row> rows = {
        choice<Algorithm>(
            "TORCH_RING_ALGORITHM", Scope::kGroupAlike, &Config::algorithm,
            {{"hierarchical", Algorithm::kHierarchical}, {"flat", Algorithm::kFlat}}, "hierarchical",
            "hierarchical: shared memory inside each host, rings between hosts; flat: one ring over all "
            "ranks"),
        number<size_t>(
            "TORCH_RING_CHUNK_BYTES", Scope::kGroupAlike, &Config::chunk_bytes, 4096, 16 << 20, 0, "bytes",
            "payload of one frame between hosts, the grain of pipelining, instead of what the cost "
            "model chooses by size"),
        number<size_t>(
            "TORCH_RING_HOST_SMALL_BYTES", Scope::kGroupAlike, &Config::host_small_bytes, 0, 64 << 10,
            32 << 10, "bytes",
            "the largest all_reduce inside one host that takes one synchronisation instead of "
            "several; an upper limit for the other collectives that can, too, besides their own: "
            "16 KiB for gather, 8 KiB for the rest, none where the ranks of the host outnumber its cores"),
        choice<SingleCopy>(
            "TORCH_RING_SINGLE_COPY", Scope::kGroup, &Config::single_copy,
            {{"none", SingleCopy::kNone}, {"auto", SingleCopy::kAuto}, {"all", SingleCopy::kAll}}, "auto",
            "what is read from its owner's memory inside a host, with one copy, where the kernel allows it; "
            "the rest takes two, through shared memory, at the same time. auto: where the kernel copies "
            "fast, "
            "or the cores are far from each other, messages of more than 64 KiB of all_to_all, those that "
            "are sent to a rank that sends itself meanwhile, and of a scatter to several; where ranks "
            "outnumber cores also those of a gather, and all that are sent; and, unless ranks outnumber "
            "cores, an all_gather from 16 KiB on, a "
            "broadcast, gather or scatter of 16 to 256 KiB"),
        word("TORCH_RING_SIZE_TABLE", Scope::kGroupAlike, &Config::size_table,
             "rules such as all_reduce: 0-8K doubling, 8K-1M ring chunk=64K, 1M- ring; broadcast: 0- tree",
             "what runs between hosts by collective and size, instead of what the cost model chooses"),
        word("TORCH_RING_LINK", Scope::kGroupAlike, &Config::link,
             "GBIT_PER_SECOND,MICROSECONDS such as 25,50",
             "rate and one-way latency of the links between hosts, for the cost model; instead of measuring "
             "them when a group forms"),
        number<int>(
            "TORCH_RING_STREAMS", Scope::kGroupAlike, &Config::streams, 1, 16, 1, "connections",
            "TCP connections between two neighbours, which share the traffic; and how many ranks of a "
            "host receive large parts of an all_to_all from other hosts at a time"),
        number<int>(
            "TORCH_RING_SPIN_US", Scope::kGroup, &Config::spin_us, 0, 1'000'000, 50, "microseconds",
            "how long a waiting rank polls before it sleeps in the kernel; four times as long, but yielding, "
            "where the ranks of a group on one host outnumber its cores"),
        word(
            "TORCH_RING_CONGESTION", Scope::kProcess, &Config::congestion,
            "a congestion control that this process may use",
            "the congestion control of connections between hosts, instead of the system's (or, where that is "
            "bbr and the hosts are near, cubic or reno while that does no harm)"),
        number<int>("TORCH_RING_CONNECT_TIMEOUT_S", Scope::kProcess, &Config::connect_timeout_s, 1, 3600, 10,
                    "seconds",
                    "how long an incoming connection may take to prove that it belongs to the job"),
        number<int>(
            "TORCH_RING_KEEPALIVE_S", Scope::kProcess, &Config::keepalive_s, 1, 340, 120, "seconds",
            "how long a connection between hosts may be idle before its peer is asked whether it is "
            "still there: less than what firewalls and load balancers on the way forget it after (350 s "
            "and more)"),
        choice<LogLevel>("TORCH_RING_LOG_LEVEL", Scope::kProcess, &Config::log_level,
                         {{"error", LogLevel::kError},
                          {"warning", LogLevel::kWarning},
                          {"info", LogLevel::kInfo},
                          {"debug", LogLevel::kDebug}},
                         "warning", "what is written to standard error"),
        word("TORCH_RING_ISA", Scope::kProcess, &Config::isa,
             "an instruction set of this CPU: portable, avx2, avx512",
             "the instruction set of the reductions, instead of the best one"),
        word("TORCH_RING_HOST_ID", Scope::kProcess, &Config::host_id, "any text",
             "ranks with equal values count as one host, instead of those that can share memory"),
        word("TORCH_RING_IFNAME", Scope::kProcess, &Config::ifname,
             "prefixes (eth,ib), exact names (=eth0) or exclusions (^lo,docker)",
             "the network interfaces for traffic between hosts, instead of all that there are; unset: what "
             "GLOO_SOCKET_IFNAME says or else NCCL_SOCKET_IFNAME, each in its own syntax"),
        port_range(),
        advertise(),
        word("TORCH_RING_SECRET", Scope::kProcess, &Config::secret, "any text, the same on every rank",
             "what connections prove knowledge of, instead of a random secret that rank 0 shares through the "
             "store"),
        secret_file(),
        word("TORCH_RING_CUDART_LIB", Scope::kProcess, &Config::cudart_lib, "the path of a libcudart.so",
             "the CUDA runtime to use, instead of the one that torch has loaded, or that lies among Python's "
             "packages"),
        word("TORCH_RING_NCCL_LIB", Scope::kProcess, &Config::nccl_lib, "the path of a libnccl.so",
             "the NCCL to use, instead of the one that torch has loaded, or that lies among Python's "
             "packages"),
    };
    return rows;
}

const Row& row_of(const std::string& name) {
    for (const Row& row : table())
        if (row.text.name == name) return row;
    throw ConfigError("there is no setting " + name);
}

size_t edit_distance(const std::string& a, const std::string& b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 0; i < a.size(); ++i) {
        size_t diagonal = row[0]++;
        for (size_t j = 0; j < b.size(); ++j) {
            const size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

}  // namespace

const std::vector<Parameter>& parameters() {
    static const std::vector<Parameter> rows = [] {
        std::vector<Parameter> texts;
        for (const Row& row : table()) texts.push_back(row.text);
        return texts;
    }();
    return rows;
}

std::string Parameter::field() const {
    std::string text = name.substr(std::string_view(kPrefix).size());
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
    return text;
}

std::string get_parameter(const Config& config, const std::string& name) {
    return row_of(name).get(config);
}

void set_parameter(Config& config, const std::string& name, const std::string& value) {
    const Row& row = row_of(name);
    const std::string& wanted = value.empty() ? row.text.default_value : value;
    row.set(config, wanted);
}

std::map<std::string, std::string> settings_alike(const Config& config) {
    std::map<std::string, std::string> values;
    for (const Row& row : table())
        if (row.text.alike) values[row.text.name] = row.get(config);
    return values;
}

Config parse_config() {
    Config config;
    for (const Row& row : table()) {
        const char* value = std::getenv(row.text.name.c_str());
        if (value != nullptr && *value != '\0') {
            row.set(config, value);
        } else if (!row.text.default_value.empty()) {
            row.set(config, row.text.default_value);
        }
    }
    return config;
}

const Config& config() {
    static const Config parsed = parse_config();
    return parsed;
}

std::vector<std::string> unknown_variables() {
    std::vector<std::string> warnings;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const std::string name = text.substr(0, text.find('='));
        if (!name.starts_with(kPrefix)) continue;
        const auto& rows = parameters();
        if (std::any_of(rows.begin(), rows.end(), [&](const Parameter& row) { return row.name == name; }))
            continue;
        const auto nearest =
            std::min_element(rows.begin(), rows.end(), [&](const Parameter& a, const Parameter& b) {
                return edit_distance(a.name, name) < edit_distance(b.name, name);
            });
        warnings.push_back(name + " is not a setting of torch_ring and has no effect; did you mean " +
                           nearest->name + "?");
    }
    return warnings;
}

}  // namespace ring
