// A key-value store over TCP, so that ranks started one by one, on one host or several, find each other
// without torch: rank 0 serves it, all ranks are its clients.
//
// Whoever reaches the port can read and write it, as with torch's TCPStore: for trusted networks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "ring/base/fd.h"
#include "ring/topology/store.h"

namespace ring_perf {

// Serves the store in a thread of its own. Thread-safe.
//
// Strangers and broken clients cost little: the size of a request is bounded, a malformed one ends its
// connection, and so does the death of the client.
class TcpStoreServer {
  public:
    // Listens on all addresses of this host, IPv4 and IPv6; port 0 = a free one. Throws ring::Error.
    TcpStoreServer(uint16_t port, int ranks);
    ~TcpStoreServer();

    uint16_t port() const { return port_; }
    // Waits until all ranks that have come are gone: only then may the process of rank 0 end. False when the
    // deadline passes first.
    bool drain(ring::Deadline deadline);

  private:
    struct Client {
        ring::UniqueFd socket;
        int rank = -1;    // once it has said it
        std::string in;   // received, not yet a whole request
        std::string out;  // replies, not yet sent
    };

    void run();
    void accept_all();
    // All false when the client is to be dropped.
    bool advance(Client& client);
    bool enter(Client& client, const std::string& value);
    bool answer(Client& client, uint32_t what, const std::string& key, std::string value);

    const int ranks_;
    uint16_t port_ = 0;
    ring::UniqueFd listener_;
    ring::UniqueFd stop_;
    std::list<Client> clients_;                  // of the thread alone
    std::map<std::string, std::string> values_;  // of the thread alone
    std::map<std::string, int64_t> counts_;      // likewise
    std::mutex mutex_;                           // guards what follows
    std::condition_variable changed_;
    std::set<int> present_;  // ranks that have come and are not gone
    std::thread thread_;
};

// Thread-safe; one request at a time.
class TcpStore : public ring::Store {
  public:
    // `host` is a name or a numeric address. Retries until the deadline; throws ring::Error that says where.
    TcpStore(const std::string& host, uint16_t port, int rank, ring::Deadline deadline);

    void set(const std::string& key, const std::string& value) override;
    std::string get(const std::string& key, ring::Deadline deadline) override;
    std::string compare_set(const std::string& key, const std::string& expected,
                            const std::string& desired) override;
    std::vector<std::string> get_all(const std::vector<std::string>& keys, ring::Deadline deadline) override;
    void set_all(const std::vector<std::string>& keys, const std::string& value) override;
    bool append(const std::string& key, const std::string& text) override;
    bool has(const std::vector<std::string>& keys) override;
    std::optional<int64_t> count(const std::string& key) override;
    void remove(const std::vector<std::string>& keys) override;

  private:
    struct Answer {
        bool found = false;
        std::string value;
    };
    Answer ask(uint32_t what, const std::string& key, const std::string& value);
    Answer ask(uint32_t what, const std::string& key, const std::string& value, ring::Deadline deadline);
    void wait_for(const std::string& key, ring::Deadline deadline) const;  // a moment

    const std::string where_;
    std::mutex mutex_;
    ring::UniqueFd socket_;
};

}  // namespace ring_perf
