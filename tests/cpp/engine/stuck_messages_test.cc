// What the error says of messages that wait for ever because of how they were called.
#include "group.h"

namespace ring {
namespace {

using namespace ring::testing;

class StuckMessages : public ::testing::TestWithParam<Hosts> {
  protected:
    static constexpr size_t kLarge = 300'000;  // elements of float32: more than is eager anywhere

    static std::shared_ptr<Operation> post(Communicator& group, Collective kind, std::vector<float>& data,
                                           int64_t tag, milliseconds timeout) {
        Arguments arguments{.signature = signature(kind, DType::kFloat32, data.size(), ReduceOp::kNone,
                                                   1 - group.layout().rank()),
                            .input = data.data(),
                            .output = data.data(),
                            .inputs = {},
                            .outputs = {}};
        arguments.tag = tag;
        return group.post(arguments, timeout);
    }
    static void expect_error(Communicator& group, const std::shared_ptr<Operation>& operation,
                             const std::vector<std::string>& parts) {
        try {
            group.wait(operation);
            FAIL() << "no error";
        } catch (const TimeoutError& error) {
            const std::string text = error.what();
            for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << text;
        }
    }
};

TEST_P(StuckMessages, TwoRanksInSendToEachOther) {
    run_group(GetParam(), [](Communicator& group) {
        std::vector<float> data(kLarge);
        const int me = group.layout().rank();
        const auto send = post(group, Collective::kSend, data, 10 + me, milliseconds(1500));
        expect_error(group, send,
                     {"in send to each other", "isend or batch_isend_irecv", "64 KiB", "256 KiB"});
    });
}

TEST_P(StuckMessages, AReceiveOfAnotherTag) {
    run_group(GetParam(), [](Communicator& group) {
        std::vector<float> data(kLarge);
        if (group.layout().rank() == 0) {
            const auto send = post(group, Collective::kSend, data, 5, std::chrono::seconds(15));
            expect_error(group, send, {"a message with tag 5", "tag 7"});
        } else {
            const auto receive = post(group, Collective::kRecv, data, 7, milliseconds(1500));
            expect_error(group, receive, {"a message with tag 5", "equal tags", "tag 7"});
        }
    });
}

INSTANTIATE_TEST_SUITE_P(Layouts, StuckMessages, ::testing::Values(Hosts{2}, Hosts{1, 1}),
                         [](const auto& info) { return "hosts_" + name_of_layout(info.param); });

}  // namespace
}  // namespace ring
