// How the CUDA runtime and NCCL are found, and what is said where they are not, or will not do.
#include "ring/device/library.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "device/fakes.h"
#include "ring/base/error.h"
#include "ring/device/cuda_runtime.h"
#include "ring/device/nccl.h"
#include "ring/device/report.h"

namespace ring {
namespace {

using namespace ring::testing;

// What a search that fails says.
std::string refusal(const LibrarySearch& search) {
    try {
        const Library library(search);
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "it was found";
}

void expect_all_in(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words)
        EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
}

TEST(Library, ThatIsNowhereIsToldWithAllPlaces) {
    const std::string said = refusal({.what = "the best library",
                                      .setting = "TORCH_RING_BEST_LIB",
                                      .file = "",
                                      .names = {"libbest.so.2", "libbest.so.1"},
                                      .folders = {"/nowhere/lib"},
                                      .remedy = "Install it"});
    expect_all_in(said, {"the best library cannot be loaded", "TORCH_RING_BEST_LIB", "Install it",
                         "/nowhere/lib/libbest.so.2", "/nowhere/lib/libbest.so.1",
                         "libbest.so.1: this process has not loaded it",
                         "libbest.so.2: cannot open shared object file"});
}

TEST(Library, ThatTheUserNamesIsTheOnlyOne) {
    const std::string said = refusal({.what = "the C library",
                                      .setting = "TORCH_RING_C_LIB",
                                      .file = "/nowhere/libc.so.6",
                                      .names = {"libc.so.6"},
                                      .folders = {},
                                      .remedy = "Install it"});
    expect_all_in(said,
                  {"the C library, which TORCH_RING_C_LIB says is /nowhere/libc.so.6, cannot be loaded"});
    EXPECT_EQ(said.find("has not loaded it"), std::string::npos) << said;
}

TEST(Library, ThatIsLoadedAlreadyIsTaken) {
    const Library library({.what = "the C library",
                           .setting = "TORCH_RING_C_LIB",
                           .file = "",
                           .names = {"libc.so.6"},
                           .folders = {"/nowhere"},
                           .remedy = "Install it"});
    EXPECT_TRUE(library.path().starts_with('/')) << library.path();
    int (*absolute)(int) = nullptr;
    library.bind(absolute, "abs");
    EXPECT_EQ(absolute(-3), 3);
    library.bind_if_there(absolute, "no_such_function_of_libc");
    EXPECT_EQ(absolute, nullptr);
    EXPECT_THROW(library.bind(absolute, "no_such_function_of_libc"), ConfigError);
}

TEST(Library, OfAFolderIsFoundByItsName) {
    LibrarySearch search = fake("nccl");
    const std::filesystem::path file = std::exchange(search.file, "");
    search.names = {"libring_no_such.so", file.filename()};
    search.folders = {"/nowhere", file.parent_path()};
    EXPECT_EQ(std::filesystem::path(Library(search).path()).filename(), file.filename());
}

TEST(Cuda, WithoutADriverSaysSoAndNamesItself) {
    const FakeCuda fakes;
    const cuda::Runtime cuda(fake("cudart"));
    EXPECT_EQ(cuda.devices(), 1);
    fakes.set_devices(0);
    try {
        (void)cuda.devices();
        ADD_FAILURE() << "there is no device";
    } catch (const ConfigError& error) {
        expect_all_in(error.what(), {"CUDA runtime 13.0", cuda.path(), "cudaErrorInsufficientDriver",
                                     "No driver is loaded"});
    }
    EXPECT_EQ(cuda.get_last_error(), cuda::kSuccess);
}

TEST(Cuda, ThatIsAnotherLibraryIsRefused) {
    EXPECT_THROW(cuda::Runtime(fake("nccl")), ConfigError);
    EXPECT_THROW(nccl::Api(fake("cudart")), ConfigError);
}

// Sets a variable of the environment for a while.
class Variable {
  public:
    Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    ~Variable() { ::unsetenv(name_); }

  private:
    const char* name_;
};

TEST(Nccl, ThatIsTooOldIsRefused) {
    {
        const Variable old("FAKE_NCCL_VERSION", "21605");
        try {
            const nccl::Api nccl(fake("nccl"));
            ADD_FAILURE() << "it is too old";
        } catch (const ConfigError& error) {
            expect_all_in(error.what(), {"NCCL 2.16.5", "libring_fake_nccl.so", "2.18.0 or newer"});
        }
    }
    const nccl::Api nccl(fake("nccl"));
    EXPECT_EQ(nccl.version_text(), "2.28.9");
}

TEST(Nccl, SpeaksForItselfWhereACallFails) {
    const nccl::Api nccl(fake("nccl"));
    nccl.check(nccl::kSuccess, "ncclGroupStart");
    nccl.check(nccl::kInProgress, "ncclGroupStart");
    try {
        nccl.check(nccl.group_start(), "ncclGroupStart");
        ADD_FAILURE() << "it fails";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(),
                     "ncclGroupStart: unhandled cuda error (1): CUDA driver version is insufficient");
    }
}

TEST(Nccl, HasTheNumbersThatItHas) {
    for (const DTypeTraits& row : kDTypes) {
        const bool small = row.dtype == DType::kFloat8E4M3FN || row.dtype == DType::kFloat8E5M2;
        const bool other =
            row.dtype == DType::kInt16 || row.dtype == DType::kUInt16 || row.dtype == DType::kBool;
        EXPECT_EQ(nccl::data_type(row.dtype, 22400).has_value(), !other) << row.name;
        EXPECT_EQ(nccl::data_type(row.dtype, 22399).has_value(), !other && !small) << row.name;
    }
    EXPECT_EQ(nccl::data_type(DType::kFloat32, 21800), 7);
    EXPECT_EQ(nccl::red_op(ReduceOp::kAvg), 4);
    EXPECT_EQ(nccl::red_op(ReduceOp::kBand), std::nullopt);
}

TEST(DeviceFindings, TellOfEachWhatThereIs) {
    const auto all = device_findings();
    ASSERT_EQ(all.size(), 3u);
    for (const DeviceFinding& one : all) EXPECT_FALSE(one.words.empty()) << one.what;
}

}  // namespace
}  // namespace ring
