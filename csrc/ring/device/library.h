// Shared libraries that are used where they are found and never linked, so that one binary serves machines
// with and without them. Used by cuda_runtime.h and nccl.h.
#pragma once

#include <string>
#include <vector>

namespace ring {

// Where to look for one.
struct LibrarySearch {
    std::string what;                // for messages: "the CUDA runtime"
    std::string setting;             // the variable by which the user may name the file
    std::string file;                // what it says; then nothing else is tried
    std::vector<std::string> names;  // as the dynamic linker knows it, the newest first
    std::vector<std::string> folders;
    std::string remedy;  // what to do where it is not found
};

// Stays loaded: others may have taken addresses out of it. Immutable, so thread-safe.
class Library {
  public:
    // The file that the user names; else what this process has loaded already, as torch has; else what lies
    // in one of the folders, or where the dynamic linker looks. Throws ConfigError that says what was tried.
    explicit Library(const LibrarySearch& search);

    const std::string& what() const { return what_; }
    const std::string& path() const { return path_; }

    // Sets `function` to the one of that name. Throws ConfigError that names the file where it has none.
    template <typename Function>
    void bind(Function*& function, const char* name) const {
        function = reinterpret_cast<Function*>(required(name));
    }
    // Null where it has none, as of an older version.
    template <typename Function>
    void bind_if_there(Function*& function, const char* name) const {
        function = reinterpret_cast<Function*>(find(name));
    }

  private:
    void* required(const char* name) const;
    void* find(const char* name) const;

    std::string what_;
    std::string path_;
    void* handle_ = nullptr;
};

// Folders that Python's packages have such libraries in; looked at when one is searched for later.
// Thread-safe.
void set_library_folders(std::vector<std::string> folders);
std::vector<std::string> library_folders();

}  // namespace ring
