// What a rank learns of groups that others make in another order: once, and not of those that go on.
#include "ring/engine/crossings.h"

#include <gtest/gtest.h>

#include "group.h"

namespace ring::testing {
namespace {

using std::chrono::seconds;

// A group's store is a folder of its own in that of all groups.
class PartOfStore : public FileStore {
  public:
    PartOfStore(const std::filesystem::path& folder, const std::string& name)
        : FileStore(made(folder / name)), common_(folder) {}
    Store* common() override { return &common_; }

  private:
    static std::filesystem::path made(const std::filesystem::path& folder) {
        std::filesystem::create_directories(folder);
        return folder;
    }
    FileStore common_;
};

constexpr uint64_t kWorld = 77;
const char* const kWords = "groups of different ranks are being made under one name: [0, 1, 2] and [1, 2, 3]";

class CrossingsTest : public ::testing::Test {
  protected:
    // Rank 1 fails to make [0, 1, 2].
    void fail() {
        PartOfStore store(folder_.path(), "first");
        Rendezvous meeting(store, {.rank = 1, .size = 3, .global_ranks = {0, 1, 2}, .world = kWorld},
                           seconds(20));
        const Crossed error(kWords);
        meeting.give_up(std::make_exception_ptr(error), "rank 1");
        Crossings(meeting, &of_rank_1_).tell(error);
    }
    // What rank 3 hears that waits in a group of these, at once or after some seconds.
    std::string heard(const std::vector<int>& ranks, bool at_once) {
        PartOfStore store(folder_.path(), "group " + std::to_string(++groups_));
        Rendezvous meeting(store,
                           {.rank = static_cast<int>(ranks.size()) - 1,
                            .size = static_cast<int>(ranks.size()),
                            .global_ranks = ranks,
                            .world = kWorld},
                           seconds(20));
        meeting.join({});
        Crossings crossings(meeting, &of_rank_3_);
        try {
            crossings.look(at_once);
        } catch (const Crossed& error) {
            meeting.give_up(std::current_exception(), "rank 3");
            crossings.tell(error);
            return error.what();
        }
        return "";
    }

    TemporaryFolder folder_;
    CrossingMemory of_rank_1_, of_rank_3_;
    int groups_ = 0;
};

TEST_F(CrossingsTest, ARankThatWaitsIsToldOnce) {
    fail();
    EXPECT_EQ(heard({1, 2, 3}, false), "") << "it may still come";
    const std::string words = heard({1, 2, 3}, true);
    EXPECT_TRUE(words.starts_with("rank 1 does not come: ") && words.ends_with(kWords)) << words;
    EXPECT_EQ(heard({1, 2, 3}, true), "");
}

TEST_F(CrossingsTest, OtherGroupsAreNotConcerned) {
    fail();
    EXPECT_EQ(heard({1, 3}, true), "");
    EXPECT_EQ(heard({0, 2, 3}, true), "");
}

TEST_F(CrossingsTest, WhoMadeAGroupSinceIsForgiven) {
    fail();
    PartOfStore store(folder_.path(), "second");
    Rendezvous meeting(store, {.rank = 0, .size = 2, .global_ranks = {1, 2}, .world = kWorld}, seconds(20));
    Crossings(meeting, &of_rank_1_).take_back();
    EXPECT_EQ(heard({1, 2, 3}, true), "");
}

}  // namespace
}  // namespace ring::testing
