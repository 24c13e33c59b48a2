// The table of settings: parsing, refusals, suggestions.
#include "ring/base/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "group.h"
#include "ring/base/error.h"

namespace ring {
namespace {

class Variable {
  public:
    Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
    ~Variable() { ::unsetenv(name_); }

  private:
    const char* name_;
};

std::string refusal() {
    try {
        parse_config();
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "";
}

TEST(Config, HasADefaultForEverythingThatNeedsOne) {
    const Config config = parse_config();
    EXPECT_EQ(config.algorithm, Algorithm::kHierarchical);
    EXPECT_EQ(config.chunk_bytes, size_t{0});
    EXPECT_EQ(config.log_level, LogLevel::kWarning);
}

TEST(Config, TakesValuesFromTheEnvironment) {
    const Variable algorithm("TORCH_RING_ALGORITHM", "flat");
    const Variable chunk("TORCH_RING_CHUNK_BYTES", "65536");
    const Variable ports("TORCH_RING_PORT_RANGE", "40000-40015");
    const Variable advertised("TORCH_RING_ADVERTISE", "[fd00::3]:4000");
    EXPECT_EQ(parse_config().algorithm, Algorithm::kFlat);
    EXPECT_EQ(parse_config().chunk_bytes, size_t{65536});
    EXPECT_EQ(parse_config().port_range.last, 40015);
    EXPECT_EQ(get_parameter(parse_config(), "TORCH_RING_PORT_RANGE"), "40000-40015");
    EXPECT_EQ(get_parameter(parse_config(), "TORCH_RING_ADVERTISE"), "[fd00::3]:4000");
}

TEST(Config, RefusesWrongValuesByNameWithWhatIsAllowed) {
    for (const auto& [name, value, allowed] :
         {std::tuple{"TORCH_RING_LOG_LEVEL", "loud", "error, warning, info, debug"},
          std::tuple{"TORCH_RING_CHUNK_BYTES", "12", "4096 .. 16777216"},
          std::tuple{"TORCH_RING_CHUNK_BYTES", "64k", "4096 .. 16777216"},
          std::tuple{"TORCH_RING_CHUNK_BYTES", "-1", "4096 .. 16777216"},
          std::tuple{"TORCH_RING_ALGORITHM", "tree", "hierarchical, flat"},
          std::tuple{"TORCH_RING_PORT_RANGE", "40015-40000", "FIRST-LAST"},
          std::tuple{"TORCH_RING_PORT_RANGE", "0-9", "FIRST-LAST"},
          std::tuple{"TORCH_RING_ADVERTISE", "node7:", "HOST:PORT"},
          std::tuple{"TORCH_RING_SECRET_FILE", "/nonexistent", "a readable file"},
          std::tuple{"TORCH_RING_SECRET_FILE", "/", "a readable file"}}) {
        const Variable variable(name, value);
        for (const char* part : {name, value, allowed})
            EXPECT_NE(refusal().find(part), std::string::npos) << refusal();
    }
}

TEST(Config, ReadsTheSecretFromAFileWithoutItsNewline) {
    const testing::TemporaryFolder folder;
    std::ofstream(folder.path() / "secret") << "sesame\n";
    const Variable file("TORCH_RING_SECRET_FILE", (folder.path() / "secret").string());
    EXPECT_EQ(parse_config().secret, "sesame");
    const Variable both("TORCH_RING_SECRET", "other");
    EXPECT_NE(refusal().find("both set"), std::string::npos);
}

TEST(Config, SuggestsTheNearestName) {
    const Variable typo("TORCH_RING_CHUNK_BYTE", "65536");
    ASSERT_EQ(unknown_variables().size(), 1u);
    EXPECT_NE(unknown_variables()[0].find("did you mean TORCH_RING_CHUNK_BYTES?"), std::string::npos);
}

TEST(Config, EveryParameterIsDescribed) {
    for (const Parameter& parameter : parameters()) {
        EXPECT_TRUE(parameter.name.starts_with("TORCH_RING_"));
        EXPECT_FALSE(parameter.allowed.empty()) << parameter.name;
        EXPECT_FALSE(parameter.meaning.empty()) << parameter.name;
    }
}

}  // namespace
}  // namespace ring
