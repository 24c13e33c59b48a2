// The control connection to a neighbour on another host: small messages that must not wait behind data.
//
// A failure is flooded along them, a departure announced, a stuck rank tells how far it has come. Their end
// without a goodbye means that the peer died. The engine reads and writes them while it drives a group.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ring/base/failure.h"
#include "ring/base/signature.h"
#include "ring/transport/pipe.h"

namespace ring {

// What is known of one rank; see progress_table.h. Sent as it lies in memory.
struct CallProgress {
    int32_t rank;
    int32_t waits_for;   // a rank, or -1
    uint64_t operation;  // the last one that it called
    uint64_t beats;      // how often it has said so while it waited
    uint64_t waits_in;   // the operation that it waited in when it last said so; 0 if it never did
    Signature called;    // as that operation
    uint64_t departed;   // kLeft: in good order
    static constexpr uint32_t kLeft = 1;
    static constexpr uint32_t kDied = 2;
};
static_assert(sizeof(CallProgress) == 56);

class Control {
  public:
    enum class Type : uint8_t { kFailure = 1, kGoodbye, kProgress };

    struct Message {
        Type type;
        std::string payload;
    };

    Control(int peer, std::unique_ptr<Pipe> pipe) : peer_(peer), pipe_(std::move(pipe)) {}

    int peer() const { return peer_; }
    int fd() const { return pipe_->fd(); }

    // Queues a message and sends what the socket takes now. It waits for at most one message of news.
    void send(Type type, const std::string& payload);
    // Tells the newest of these ranks. What does not go now is kept by rank, and newer news take its place: a
    // peer that does not read costs no more than that, however long it stays away.
    void tell(const std::vector<CallProgress>& news);
    // Sends what is queued; what does not fit now goes with a later call.
    void flush();
    // Whether the peer's kernel may still lack something that was sent. Closing then could lose it: where
    // something unread has come meanwhile, the kernel resets the connection and drops what it has not sent
    // yet.
    bool pending() const;
    // The messages that have arrived. After the end of the connection closed() says so.
    std::vector<Message> receive();

    bool closed() const { return closed_; }
    bool said_goodbye() const { return goodbye_; }
    const std::string& why_closed() const { return why_closed_; }

  private:
    void close(std::string why);
    void append(Type type, const std::string& payload);
    void append_news();

    int peer_;
    std::unique_ptr<Pipe> pipe_;
    std::string outgoing_;
    std::map<int32_t, CallProgress> news_;  // by rank; not in `outgoing_` yet
    std::string incoming_;
    std::string broke_;  // why nothing can be sent any more
    bool closed_ = false;
    bool goodbye_ = false;
    std::string why_closed_;
};

// Payloads.
std::string encode(const Failure& failure);
std::optional<Failure> decode_failure(const std::string& payload);  // nothing where it makes no sense

std::string encode(const std::vector<CallProgress>& progress);
std::optional<std::vector<CallProgress>> decode_progress(const std::string& payload);  // likewise

}  // namespace ring
