// See library.h.
#include "ring/device/library.h"

#include <dlfcn.h>
#include <link.h>

#include <mutex>
#include <utility>

#include "ring/base/error.h"

namespace ring {
namespace {

std::mutex folders_mutex;  // guards what follows
std::vector<std::string>& folders() {
    static std::vector<std::string> all;
    return all;
}

std::string file_of(void* handle, const std::string& name) {
    link_map* map = nullptr;
    if (::dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || map->l_name[0] == '\0') return name;
    return map->l_name;
}

// One after the other, and what came of each.
class Attempts {
  public:
    void* open(const std::string& name) {
        if (void* const handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
        const char* const why = ::dlerror();
        told_ += "\n  " + (why == nullptr ? name : std::string(why));
        return nullptr;
    }
    void* open_loaded(const std::string& name) {
        void* const handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
        if (handle == nullptr) told_ += "\n  " + name + ": this process has not loaded it";
        return handle;
    }
    const std::string& told() const { return told_; }

  private:
    std::string told_;
};

void* open(const LibrarySearch& search, Attempts& attempts) {
    if (!search.file.empty()) return attempts.open(search.file);
    for (const std::string& name : search.names)
        if (void* const handle = attempts.open_loaded(name)) return handle;
    for (const std::string& folder : search.folders)
        for (const std::string& name : search.names)
            if (void* const handle = attempts.open(folder + "/" + name)) return handle;
    for (const std::string& name : search.names)
        if (void* const handle = attempts.open(name)) return handle;
    return nullptr;
}

}  // namespace

Library::Library(const LibrarySearch& search) : what_(search.what) {
    Attempts attempts;
    handle_ = open(search, attempts);
    if (handle_ == nullptr) {
        const std::string where =
            search.file.empty() ? "" : ", which " + search.setting + " says is " + search.file + ",";
        throw ConfigError(what_ + where + " cannot be loaded. " + search.remedy + "; or name the file by " +
                          search.setting + ". Tried:" + attempts.told());
    }
    path_ = file_of(handle_, search.file);
}

void* Library::required(const char* name) const {
    if (void* const at = find(name)) return at;
    throw ConfigError(what_ + ", " + path_ + ", has no function " + name +
                      ": it is too old, or another library");
}

void* Library::find(const char* name) const {
    return ::dlsym(handle_, name);
}

void set_library_folders(std::vector<std::string> all) {
    const std::lock_guard lock(folders_mutex);
    folders() = std::move(all);
}

std::vector<std::string> library_folders() {
    const std::lock_guard lock(folders_mutex);
    return folders();
}

}  // namespace ring
