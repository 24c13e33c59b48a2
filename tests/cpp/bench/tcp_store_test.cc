// The store over TCP through which ranks of ring_perf find each other: what it answers, what it survives, and
// when rank 0 may leave.
#include "bench/tcp_store.h"

#include <sys/socket.h>

#include <chrono>
#include <future>
#include <memory>

#include "group.h"
#include "ring/base/error.h"
#include "ring/transport/tcp/socket.h"

namespace ring_perf {
namespace {

using namespace std::chrono_literals;
using ring::Deadline;

constexpr const char* kHere = "127.0.0.1";

std::unique_ptr<TcpStore> client(const TcpStoreServer& server, int rank, const std::string& host = kHere) {
    return std::make_unique<TcpStore>(host, server.port(), rank, Deadline::after(5s));
}

// Sends these bytes as a stranger would; true if the server then closes the connection.
bool drops(const TcpStoreServer& server, const std::string& bytes) {
    const ring::UniqueFd socket = ring::tcp_connect(kHere, server.port(), Deadline::after(5s));
    ring::tcp_write_all(socket, bytes.data(), bytes.size(), Deadline::after(5s));
    char answer = 0;
    try {
        ring::tcp_read_all(socket, &answer, 1, Deadline::after(5s));
    } catch (const ring::PeerError&) {
        return true;
    }
    return false;
}

// As drops(), where the first request is sound and answered.
bool drops_after_answer(const TcpStoreServer& server, const std::string& bytes) {
    const ring::UniqueFd socket = ring::tcp_connect(kHere, server.port(), Deadline::after(5s));
    ring::tcp_write_all(socket, bytes.data(), bytes.size(), Deadline::after(5s));
    char answer[9];
    try {
        ring::tcp_read_all(socket, answer, 8, Deadline::after(5s));
    } catch (const ring::PeerError&) {
        return false;
    }
    try {
        ring::tcp_read_all(socket, answer, 1, Deadline::after(5s));
    } catch (const ring::PeerError&) {
        return true;
    }
    return false;
}

// A request as it goes over the wire.
std::string request(uint32_t what, uint32_t key_bytes, uint32_t value_bytes, uint32_t magic = 0x50524952) {
    const uint32_t fields[] = {magic, what, key_bytes, value_bytes};
    return {reinterpret_cast<const char*>(fields), sizeof(fields)};
}

TEST(TcpStore, KeepsWhatRanksSet) {
    const TcpStoreServer server(0, 2);
    const auto a = client(server, 0);
    const auto b = client(server, 1);
    EXPECT_FALSE(b->has({"key"}));
    a->set("key", std::string("with\0zero", 9));
    EXPECT_TRUE(b->has({"key"}));
    EXPECT_FALSE(b->has({"key", "another"}));
    EXPECT_EQ(b->get("key", Deadline::after(0s)), std::string("with\0zero", 9));
    b->set("key", "");
    EXPECT_EQ(a->get("key", Deadline::after(0s)), "");
    const std::string large(1 << 20, 'x');
    a->set("large", large);
    EXPECT_EQ(b->get("large", Deadline::after(0s)), large);
    EXPECT_THROW(a->set("too large", large + "x"), ring::Error);
    EXPECT_TRUE(a->has({"large"}));
}

TEST(TcpStore, SetsManyAndAppends) {
    const TcpStoreServer server(0, 2);
    const auto a = client(server, 0);
    const auto b = client(server, 1);
    std::vector<std::string> keys;
    for (int i = 0; i < 2500; ++i) keys.push_back("key " + std::to_string(i));
    b->set(keys[7], "before");
    a->set_all(keys, "now");
    EXPECT_EQ(b->get_all(keys, Deadline::after(0s)), std::vector<std::string>(keys.size(), "now"));
    EXPECT_TRUE(a->append("list", "1 "));
    EXPECT_TRUE(b->append("list", "2 "));
    EXPECT_EQ(a->get("list", Deadline::after(0s)), "1 2 ");
}

TEST(TcpStore, ComparesAndSetsAtOnce) {
    const TcpStoreServer server(0, 4);
    const auto store = client(server, 0);
    EXPECT_EQ(store->compare_set("word", "other", "new"), "");
    EXPECT_FALSE(store->has({"word"}));
    EXPECT_EQ(store->compare_set("word", "", "first"), "first");
    EXPECT_EQ(store->compare_set("word", "", "second"), "first");
    EXPECT_EQ(store->compare_set("word", "first", "second"), "second");
    // Each step is made by one rank, whoever else tries it.
    std::vector<std::future<int>> ranks;
    for (int rank = 0; rank < 4; ++rank)
        ranks.push_back(std::async(std::launch::async, [&server, rank] {
            const auto own = client(server, rank);
            int made = 0;
            for (int step = 0; step < 50; ++step) {
                const std::string mine = std::to_string(step) + " by " + std::to_string(rank);
                const std::string key = "step " + std::to_string(step);
                made += own->compare_set(key, "", mine) == mine ? 1 : 0;
            }
            return made;
        }));
    int made = 0;
    for (auto& rank : ranks) made += rank.get();
    EXPECT_EQ(made, 50);
}

TEST(TcpStore, GetWaitsForTheKeyUntilItsDeadline) {
    const TcpStoreServer server(0, 2);
    const auto a = client(server, 0);
    const auto b = client(server, 1);
    auto waiting = std::async(std::launch::async, [&] { return a->get("late", Deadline::after(5s)); });
    std::this_thread::sleep_for(20ms);
    b->set("late", "value");
    EXPECT_EQ(waiting.get(), "value");
    try {
        a->get("never", Deadline::after(20ms));
        FAIL();
    } catch (const ring::TimeoutError& error) {
        EXPECT_NE(std::string(error.what()).find("'never'"), std::string::npos) << error.what();
    }
}

TEST(TcpStore, AnswersForManyKeysAtOnce) {
    const TcpStoreServer server(0, 2);
    const auto a = client(server, 0);
    const auto b = client(server, 1);
    // More keys than one request takes, and more bytes than one answer.
    std::vector<std::string> keys, values;
    for (int i = 0; i < 2500; ++i) {
        keys.push_back("key " + std::to_string(i));
        values.push_back(std::string(1000, 'x') + std::to_string(i));
        if (i > 0) a->set(keys.back(), values.back());
    }
    EXPECT_FALSE(b->has(keys));
    EXPECT_THROW(b->get_all(keys, Deadline::after(20ms)), ring::TimeoutError);
    auto waiting = std::async(std::launch::async, [&] { return b->get_all(keys, Deadline::after(20s)); });
    std::this_thread::sleep_for(10ms);
    a->set(keys.front(), values.front());
    EXPECT_EQ(waiting.get(), values);
    EXPECT_TRUE(b->has(keys));
    const std::string large(1 << 20, 'x');
    a->set("large", large);
    a->set("empty", "");
    EXPECT_EQ(b->get_all({"large", "empty", "large"}, Deadline::after(0s)),
              (std::vector<std::string>{large, "", large}));
    EXPECT_TRUE(b->has({}));
    EXPECT_TRUE(b->get_all({}, Deadline::after(0s)).empty());
    b->remove(keys);
    b->remove({"never there"});
    for (const std::string& key : keys) EXPECT_FALSE(a->has({key}));
    EXPECT_TRUE(a->has({"large", "empty"}));
}

TEST(TcpStore, CountsForAllRanks) {
    const TcpStoreServer server(0, 2);
    const auto a = client(server, 0);
    const auto b = client(server, 1);
    EXPECT_EQ(a->count("calls"), 1);
    EXPECT_EQ(b->count("calls"), 2);
    EXPECT_EQ(a->count("others"), 1);
    a->remove({"calls"});
    EXPECT_EQ(b->count("calls"), 1);
}

TEST(TcpStore, FormsAGroup) {
    TcpStoreServer server(0, 3);
    std::vector<std::future<float>> ranks;
    for (int rank = 0; rank < 3; ++rank)
        ranks.push_back(std::async(std::launch::async, [&server, rank] {
            const auto store = client(server, rank);
            ring::Engine engine;
            const auto group = ring::Communicator::create(engine, *store,
                                                          {.rank = rank,
                                                           .size = 3,
                                                           .timeout = 20s,
                                                           .store_host = kHere,
                                                           .host_id = "host" + std::to_string(rank / 2)});
            std::vector<float> data{static_cast<float>(rank + 1)};
            ring::testing::run(*group, ring::testing::all_reduce_of(data, ring::DType::kFloat32));
            group->shutdown();
            return data[0];
        }));
    for (auto& rank : ranks) EXPECT_EQ(rank.get(), 6);
    EXPECT_TRUE(server.drain(Deadline::after(5s)));
}

TEST(TcpStore, ReachesTheServerByNameAndByIpv6) {
    const TcpStoreServer server(0, 1);
    for (const char* host : {"localhost", "::1"}) {
        const auto store = client(server, 0, host);
        store->set(host, "here");
        EXPECT_TRUE(store->has({host}));
    }
}

TEST(TcpStore, DropsMalformedRequestsAndServesOn) {
    const TcpStoreServer server(0, 1);
    const auto store = client(server, 0);
    EXPECT_TRUE(drops(server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_TRUE(drops(server, request(0, 0, 4, 0xdeadbeef)));                   // not the magic number
    EXPECT_TRUE(drops(server, request(99, 0, 0)));                              // no such request
    EXPECT_TRUE(drops(server, request(0, 0, UINT32_MAX)));                      // too large
    EXPECT_TRUE(drops(server, request(0, UINT32_MAX, 0)));                      // too large
    EXPECT_TRUE(drops(server, request(2, 3, 0) + "key"));                       // before it says who it is
    EXPECT_TRUE(drops(server, request(0, 0, 4) + std::string("\1\0\0\0", 4)));  // no such rank
    EXPECT_TRUE(drops(server, request(0, 0, 4) + std::string("\xff\xff\xff\xff", 4)));
    EXPECT_TRUE(drops(server, request(0, 0, 3) + std::string("\0\0\0", 3)));  // half a rank
    for (const uint32_t what : {4, 5, 7}) {
        const std::string hello = request(0, 0, 4) + std::string(4, '\0');
        const std::string longer_than_all("\7\0\0\0key", 7);
        EXPECT_TRUE(drops_after_answer(server, hello + request(what, 0, 7) + longer_than_all)) << what;
        EXPECT_TRUE(drops_after_answer(server, hello + request(what, 0, 2) + "\1\1")) << what;
    }
    store->set("key", "value");
    EXPECT_EQ(store->get("key", Deadline::after(0s)), "value");
}

TEST(TcpStore, TakesRequestsInPiecesAndSeveralAtOnce) {
    const TcpStoreServer server(0, 1);
    const Deadline deadline = Deadline::after(5s);
    const ring::UniqueFd socket = ring::tcp_connect(kHere, server.port(), deadline);
    const std::string hello = request(0, 0, 4) + std::string(4, '\0');
    for (const char byte : hello) {
        ring::tcp_write_all(socket, &byte, 1, deadline);
        std::this_thread::sleep_for(1ms);
    }
    const std::string both = request(1, 1, 2) + "kvv" + request(2, 1, 0) + "k";
    ring::tcp_write_all(socket, both.data(), both.size(), deadline);
    // Two empty replies, then the value.
    std::string answers(3 * 8 + 2, '\0');
    ring::tcp_read_all(socket, answers.data(), answers.size(), deadline);
    EXPECT_EQ(answers.substr(24), "vv");
    const std::string unsound = request(3, 1, 4) + "k" + std::string(4, '\1');  // expects more than is there
    ring::tcp_write_all(socket, unsound.data(), unsound.size(), deadline);
    EXPECT_THROW(ring::tcp_read_all(socket, answers.data(), 1, deadline), ring::PeerError);
}

TEST(TcpStore, StrangersDoNotKeepRanksOut) {
    const TcpStoreServer server(0, 1);
    std::vector<ring::UniqueFd> strangers;
    for (int i = 0; i < 40; ++i)
        strangers.push_back(ring::tcp_connect(kHere, server.port(), Deadline::after(5s)));
    const auto store = client(server, 0);
    store->set("key", "value");
    EXPECT_TRUE(store->has({"key"}));
}

TEST(TcpStore, ServerMayEndWhenAllRanksAreGone) {
    TcpStoreServer server(0, 2);
    EXPECT_TRUE(server.drain(Deadline::after(0s)));
    auto a = client(server, 0);
    auto b = client(server, 1);
    a.reset();
    EXPECT_FALSE(server.drain(Deadline::after(50ms)));
    auto leaving = std::async(std::launch::async, [&] {
        std::this_thread::sleep_for(50ms);
        b.reset();
    });
    EXPECT_TRUE(server.drain(Deadline::after(5s)));
    leaving.get();
}

TEST(TcpStore, SaysWhereItCannotConnectOrListen) {
    uint16_t port = 0;
    {
        const TcpStoreServer server(0, 1);
        port = server.port();
        EXPECT_THROW(TcpStoreServer(port, 1), ring::Error);
    }
    try {
        const TcpStore store(kHere, port, 3, Deadline::after(50ms));
        FAIL();
    } catch (const ring::Error& error) {
        const std::string text = error.what();
        EXPECT_NE(text.find("rank 3 cannot reach"), std::string::npos) << text;
        EXPECT_NE(text.find("127.0.0.1 port " + std::to_string(port)), std::string::npos) << text;
    }
    EXPECT_THROW(TcpStore("no such name", port, 0, Deadline::after(50ms)), ring::Error);
}

TEST(TcpStore, ClientNoticesThatTheServerIsGone) {
    auto server = std::make_unique<TcpStoreServer>(0, 1);
    const auto store = client(*server, 0);
    server.reset();
    EXPECT_THROW(store->has({"key"}), ring::PeerError);
}

}  // namespace
}  // namespace ring_perf
