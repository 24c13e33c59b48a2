// See file_store.h.
#include "ring/topology/file_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <thread>

#include "ring/base/error.h"
#include "ring/base/fd.h"

namespace ring {

std::filesystem::path FileStore::path_of(const std::string& key) const {
    std::string name = key;
    std::replace(name.begin(), name.end(), '/', '.');
    return folder_ / name;
}

void FileStore::set(const std::string& key, const std::string& value) {
    // Written beside and renamed, so that a reader never sees half a value.
    static std::atomic<int> counter{0};
    const auto temporary =
        folder_ /
        (".tmp." + std::to_string(::getpid()) + "." +
         std::to_string(counter.fetch_add(1, std::memory_order_relaxed)));  // only uniqueness matters
    std::ofstream(temporary, std::ios::binary) << value;
    std::filesystem::rename(temporary, path_of(key));
}

std::string FileStore::get(const std::string& key, Deadline deadline) {
    while (!has(key)) {
        if (deadline.passed())
            throw TimeoutError("nobody has set the key '" + key + "' in " + folder_.string());
        std::this_thread::sleep_for(milliseconds(1));
    }
    std::ifstream file(path_of(key), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

uint64_t FileStore::count(const std::string& key) {
    // Whoever makes the n-th file is the n-th.
    for (uint64_t n = 1;; ++n) {
        const int fd = ::open(path_of(key + "." + std::to_string(n)).c_str(),
                              O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST) continue;
        checked_fd(fd, "counting in the store");
        return n;
    }
}

bool FileStore::has(const std::string& key) {
    return std::filesystem::exists(path_of(key));
}

}  // namespace ring
