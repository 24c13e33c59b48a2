// The key-value store through which the ranks of a group find each other.
//
// csrc/c10d implements it over c10d::Store, ring_perf and the C++ tests over a folder of files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ring/base/clock.h"

namespace ring {

class Store {
  public:
    virtual ~Store() = default;
    virtual void set(const std::string& key, const std::string& value) = 0;
    // Waits for the key. Throws TimeoutError when the deadline passes first.
    virtual std::string get(const std::string& key, Deadline deadline) = 0;
    // The values of several, in as few round trips as the store can.
    virtual std::vector<std::string> get_all(const std::vector<std::string>& keys, Deadline deadline) {
        std::vector<std::string> values;
        for (const std::string& key : keys) values.push_back(get(key, deadline));
        return values;
    }
    // Sets the key to `desired` if its value is `expected`, or if it has none and `expected` is ""; all at
    // once. Returns the value that it has afterwards.
    virtual std::string compare_set(const std::string& key, const std::string& expected,
                                    const std::string& desired) = 0;
    // Sets all of these to one value, in as few round trips as the store can.
    virtual void set_all(const std::vector<std::string>& keys, const std::string& value) {
        for (const std::string& key : keys) set(key, value);
    }
    // Puts `text` behind the value, which may not be there yet; false where the store cannot.
    virtual bool append(const std::string& /*key*/, const std::string& /*text*/) { return false; }
    // What this one is a part of, and those of all other groups of the same ranks and of some of them; null
    // where it is not known.
    virtual Store* common() { return nullptr; }
    // Whether all of them are there, without waiting.
    virtual bool has(const std::vector<std::string>& keys) = 0;
    // How many times this has been called for the key, by all ranks; nothing where the store cannot count.
    virtual std::optional<int64_t> count(const std::string& /*key*/) { return std::nullopt; }
    // Takes these keys out, those that are there; where the store cannot, it keeps them.
    virtual void remove(const std::vector<std::string>& /*keys*/) {}
};

}  // namespace ring
