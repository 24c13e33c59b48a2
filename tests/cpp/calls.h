// Random calls of every kind, and the model of what comes out of them: what each rank gives and gets.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>

#include "group.h"
#include "values.h"

namespace ring::testing {

using Random = std::mt19937;

inline size_t below(Random& random, size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random);
}

// Tests of random cases try the same ones each time, unless the environment says otherwise: RING_TEST_SEED is
// the first case's seed, RING_TEST_CASES how many there are of each kind.
inline unsigned from_environment(const char* name, unsigned otherwise) {
    const char* const value = std::getenv(name);
    return value == nullptr ? otherwise : static_cast<unsigned>(std::stoul(value));
}
inline unsigned first_seed(unsigned otherwise = 0) {
    return from_environment("RING_TEST_SEED", otherwise);
}
inline unsigned how_many_cases(unsigned otherwise) {
    return from_environment("RING_TEST_CASES", otherwise);
}

struct RandomCall {
    size_t number = 0;  // among those of all schedules; also a message's tag
    size_t group = 0;
    Collective kind = Collective::kAllReduce;  // kSend: a message, which one rank sends and another receives
    size_t turn = 0;                           // among the collectives of its group
    int root = 0;                              // of a message: who sends
    int to = 0;                                // of a message
    bool from_any = false;
    std::vector<uint64_t> counts;  // of the tensor, or of each rank's share
    DType dtype = DType::kInt32;   // or bfloat16, whose partial sums are larger
};

// In which groups who is; ranks of the group are numbered as here.
using Members = std::vector<std::vector<int>>;

// Those that a rank is in; null where it is not.
using Groups = std::vector<std::shared_ptr<Communicator>>;

// By files in `folder`, one group after the other, with these settings of a group of all ranks.
inline Groups form_groups(Engine& engine, const Members& members, const Communicator::Settings& settings,
                          const std::filesystem::path& folder) {
    Groups groups(members.size());
    for (size_t g = 0; g < members.size(); ++g) {
        const auto at = std::find(members[g].begin(), members[g].end(), settings.rank);
        if (at == members[g].end()) continue;
        Communicator::Settings own = settings;
        own.rank = static_cast<int>(at - members[g].begin());
        own.size = static_cast<int>(members[g].size());
        own.global_ranks = members[g];
        const auto place = folder / std::to_string(g);
        std::filesystem::create_directories(place);
        FileStore store(place);
        groups[g] = Communicator::create(engine, store, own);
    }
    return groups;
}

constexpr Collective kKinds[] = {Collective::kAllReduce,     Collective::kBroadcast, Collective::kAllGather,
                                 Collective::kReduceScatter, Collective::kBarrier,   Collective::kReduce,
                                 Collective::kGather,        Collective::kScatter,   Collective::kAllToAll};

// Nothing, one element, what is small everywhere, and up to some 200 KiB.
inline uint64_t random_count(Random& random) {
    constexpr uint64_t kLimits[] = {1, 2, 40, 4000, kThreadSanitizer ? 20'000 : 50'000};
    return below(random, kLimits[below(random, std::size(kLimits))]);
}

inline std::vector<RandomCall> random_calls(Random& random, const Members& members, size_t first) {
    std::vector<RandomCall> calls(3 + below(random, 12));
    std::vector<size_t> turns(members.size());
    for (RandomCall& call : calls) {
        call.number = first++;
        call.group = below(random, members.size());
        const auto& ranks = members[call.group];
        const int n = static_cast<int>(ranks.size());
        call.root = static_cast<int>(below(random, ranks.size()));
        if (below(random, 2) == 0) {
            call.kind = Collective::kSend;
            call.to = (call.root + 1 + static_cast<int>(below(random, ranks.size() - 1))) % n;
            call.from_any = below(random, 4) == 0;
        } else {
            call.kind = kKinds[below(random, std::size(kKinds))];
            call.turn = turns[call.group]++;
        }
        if (below(random, 3) == 0) call.dtype = DType::kBFloat16;
        call.counts.assign(ranks.size(), random_count(random));
        if (call.kind == Collective::kAllGather && below(random, 2) == 0)
            for (uint64_t& count : call.counts) count = random_count(random);
    }
    return calls;
}

// Elements of the call's type, all of whose numbers are exact in it.
inline std::vector<uint8_t> elements(const RandomCall& call, const std::vector<int32_t>& numbers) {
    const size_t size = size_of(call.dtype);
    std::vector<uint8_t> bytes(numbers.size() * size);
    for (size_t i = 0; i < numbers.size(); ++i) {
        const uint32_t bits = call.dtype == DType::kInt32
                                  ? static_cast<uint32_t>(numbers[i])
                                  : std::bit_cast<uint32_t>(static_cast<float>(numbers[i])) >> 16;
        std::memcpy(bytes.data() + i * size, &bits, size);
    }
    return bytes;
}

// What `from` gives, in that call, to `to` (where each gets something of its own).
inline std::vector<int32_t> given(const RandomCall& call, int from, int to, uint64_t count) {
    const int limit = call.dtype == DType::kInt32 ? 100'000'000 : 32;  // eight of them fit bfloat16's 8 bits
    return repeated<int32_t>(count, [&](size_t i) {
        return (call.number % 1000 * 10'007 + from * 1009 + to * 31 + i % 1000) % limit;
    });
}

inline std::vector<int32_t> sum_of(const RandomCall& call, int to, uint64_t count) {
    std::vector<int32_t> sum(count);
    for (int r = 0; r < static_cast<int>(call.counts.size()); ++r) {
        const auto one = given(call, r, to, count);
        for (uint64_t i = 0; i < count; ++i) sum[i] += one[i];
    }
    return sum;
}

// One call as one rank makes it: its memory, and what must be in it afterwards.
class Part {
  public:
    Part(const RandomCall& call, int rank)
        : call_(call), rank_(rank), ranks_(static_cast<int>(call.counts.size())) {
        arguments_.signature = signature(call.kind, call.dtype, call.counts[0]);
        fill();
    }

    Arguments arguments() const { return arguments_; }
    void check() const {
        for (size_t i = 0; i < outputs_.size(); ++i)
            ASSERT_TRUE(same(outputs_[i], expected_[i]))
                << describe(arguments_.signature) << ", call " << call_.number << " on rank " << rank_
                << ", output " << i;
    }

  private:
    const void* gives(int to, uint64_t count) {
        inputs_.push_back(elements(call_, given(call_, rank_, to, count)));
        return inputs_.back().data();
    }
    void* gets(const std::vector<int32_t>& what) {
        expected_.push_back(elements(call_, what));
        outputs_.emplace_back(expected_.back().size(), 0xff);
        return outputs_.back().data();
    }

    void fill() {
        inputs_.reserve(call_.counts.size());
        outputs_.reserve(call_.counts.size());
        const uint64_t count = call_.counts[0];
        const bool is_root = rank_ == call_.root;
        Signature& called = arguments_.signature;
        switch (call_.kind) {
            case Collective::kSend:
                arguments_.tag = static_cast<int64_t>(call_.number);
                if (is_root) {
                    called.root = call_.to;
                    arguments_.input = gives(0, count);
                } else {
                    called.kind = Collective::kRecv;
                    called.root = call_.from_any ? kAnySource : call_.root;
                    arguments_.output = gets(given(call_, call_.root, 0, count));
                }
                break;
            case Collective::kAllReduce:
                called.op = ReduceOp::kSum;
                arguments_.input = gives(0, count);
                arguments_.output = gets(sum_of(call_, 0, count));
                break;
            case Collective::kReduce:
                called.op = ReduceOp::kSum;
                called.root = call_.root;
                arguments_.input = gives(0, count);
                if (is_root) arguments_.output = gets(sum_of(call_, 0, count));
                break;
            case Collective::kBroadcast:
                called.root = call_.root;
                arguments_.output = gets(given(call_, call_.root, 0, count));
                if (is_root) outputs_[0] = expected_[0];
                break;
            case Collective::kAllGather:
                gather_all();
                break;
            case Collective::kReduceScatter:
                called.op = ReduceOp::kSum;
                for (int r = 0; r < ranks_; ++r) arguments_.inputs.push_back(gives(r, count));
                arguments_.output = gets(sum_of(call_, rank_, count));
                break;
            case Collective::kGather:
                called.root = call_.root;
                arguments_.input = gives(0, count);
                for (int r = 0; is_root && r < ranks_; ++r)
                    arguments_.outputs.push_back(gets(given(call_, r, 0, count)));
                break;
            case Collective::kScatter:
                called.root = call_.root;
                for (int r = 0; is_root && r < ranks_; ++r) arguments_.inputs.push_back(gives(r, count));
                arguments_.output = gets(given(call_, call_.root, rank_, count));
                break;
            case Collective::kAllToAll:
                called.count = 0;
                arguments_.input_counts = arguments_.output_counts = call_.counts;
                for (int r = 0; r < ranks_; ++r) {
                    arguments_.inputs.push_back(gives(r, count));
                    arguments_.outputs.push_back(gets(given(call_, r, rank_, count)));
                }
                break;
            default:
                called.count = 0;
                break;
        }
    }

    void gather_all() {
        uint64_t total = 0;
        bool even = true;
        for (const uint64_t count : call_.counts) {
            total += count;
            even = even && count == call_.counts[0];
        }
        if (!even) {
            arguments_.signature.count = total;
            arguments_.signature.uneven = 1;
            arguments_.output_counts = call_.counts;
        }
        arguments_.input = gives(0, call_.counts[rank_]);
        for (int r = 0; r < ranks_; ++r)
            arguments_.outputs.push_back(gets(given(call_, r, 0, call_.counts[r])));
    }

    const RandomCall& call_;
    const int rank_;
    const int ranks_;
    Arguments arguments_;
    std::vector<std::vector<uint8_t>> inputs_;
    std::vector<std::vector<uint8_t>> outputs_;
    std::vector<std::vector<uint8_t>> expected_;
};

}  // namespace ring::testing
