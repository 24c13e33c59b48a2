// The settings: one table that declares each TORCH_RING_* variable once (config.cc), and their parsed values.
//
// Read by every layer through config(). The Python face prints the table and checks the environment with it.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "ring/base/endpoint.h"
#include "ring/base/log.h"

namespace ring {

enum class Algorithm { kHierarchical, kFlat };
// Whose large messages a rank reads from the sender's memory, inside a host.
enum class SingleCopy { kNone, kAuto, kAll };

// From `first` to `last`, both included; 0: any that the kernel chooses.
struct PortRange {
    uint16_t first = 0;
    uint16_t last = 0;
};

struct Config {
    Algorithm algorithm = Algorithm::kHierarchical;
    SingleCopy single_copy = SingleCopy::kAuto;
    size_t chunk_bytes = 0;       // payload of one frame between hosts; 0 = as the cost model says
    size_t host_small_bytes = 0;  // one-shot all_reduce inside a host up to here
    int streams = 0;              // TCP connections per edge
    int spin_us = 0;              // a waiting rank polls for so long before it sleeps
    int connect_timeout_s = 0;    // for one handshake of an incoming connection
    int keepalive_s = 0;          // how long a connection is idle before the kernel asks the peer
    LogLevel log_level = LogLevel::kWarning;
    std::string size_table;  // what to run by size, instead of what the cost model says
    std::string link;        // of the links between hosts; "" = measured
    std::string congestion;  // "" = the system's, but not bbr between near hosts
    std::string isa;         // "" = the best one
    std::string host_id;     // "" = found out
    std::string ifname;      // "" = all; see topology/reach.h
    PortRange port_range;    // to listen on
    Endpoint advertise;      // tried first by the peers; address "" = unset, port 0 = that of the listener
    std::string secret;      // "" = a random one of rank 0
    std::string cudart_lib;  // "" = searched for; see device/library.h
    std::string nccl_lib;    // likewise
};

// A row of the table: what the variable is called, and how to describe it to a user.
struct Parameter {
    std::string name;           // "TORCH_RING_CHUNK_BYTES"
    std::string type;           // "int" or "str"
    std::string allowed;        // "hierarchical, ring" or "4096 .. 16777216"
    std::string default_value;  // as a user would write it; "" = unset
    std::string unit;           // "bytes", "" for none
    std::string meaning;
    bool per_group = false;  // a group may have another value than the process
    bool alike = false;      // the ranks of a group must have the same value

    // What Options calls it: "chunk_bytes".
    std::string field() const;
};

const std::vector<Parameter>& parameters();

// One value as a user writes it; "" = unset. `name` is that of a row.
std::string get_parameter(const Config& config, const std::string& name);
// Throws ConfigError that names the variable, the value and what is allowed. "" sets the default.
void set_parameter(Config& config, const std::string& name, const std::string& value);
// What the ranks of a group must agree on: values by variable.
std::map<std::string, std::string> settings_alike(const Config& config);

// The values of this process, parsed from the environment at the first call.
// Throws ConfigError that names the variable, its value and what is allowed. Thread-safe.
const Config& config();

// Parses again (the environment of a test, or of a process that sets variables before its first group).
Config parse_config();

// One warning for each TORCH_RING_* name in the environment that is not in the table, with the nearest that
// is.
std::vector<std::string> unknown_variables();

}  // namespace ring
