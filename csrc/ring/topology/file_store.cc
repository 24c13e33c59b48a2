// See file_store.h.
#include "ring/topology/file_store.h"

#include <fcntl.h>
#include <sys/file.h>
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
    while (!has({key})) {
        if (deadline.passed())
            throw TimeoutError("nobody has set the key '" + key + "' in " + folder_.string());
        std::this_thread::sleep_for(milliseconds(1));
    }
    std::ifstream file(path_of(key), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Only those who change what they have read must keep out of each other's way: set() replaces a file as a
// whole.
UniqueFd FileStore::lock() const {
    UniqueFd lock = checked_fd(::open((folder_ / ".lock").c_str(), O_CREAT | O_RDONLY | O_CLOEXEC, 0644),
                               "the lock of the store");
    while (::flock(lock.get(), LOCK_EX) != 0)
        if (errno != EINTR) throw_errno("locking the store");
    return lock;
}

std::string FileStore::compare_set(const std::string& key, const std::string& expected,
                                   const std::string& desired) {
    const UniqueFd locked = lock();
    const bool known = has({key});
    const std::string value = known ? get(key, Deadline::after(milliseconds(0))) : "";
    if (value != expected) return value;
    set(key, desired);
    return desired;
}

bool FileStore::append(const std::string& key, const std::string& text) {
    const UniqueFd locked = lock();
    set(key, (has({key}) ? get(key, Deadline::after(milliseconds(0))) : "") + text);
    return true;
}

bool FileStore::has(const std::vector<std::string>& keys) {
    return std::all_of(keys.begin(), keys.end(),
                       [this](const std::string& key) { return std::filesystem::exists(path_of(key)); });
}

std::optional<int64_t> FileStore::count(const std::string& key) {
    const UniqueFd locked = lock();
    const int64_t calls = (has({key}) ? std::stoll(get(key, Deadline::after(milliseconds(0)))) : 0) + 1;
    set(key, std::to_string(calls));
    return calls;
}

void FileStore::remove(const std::vector<std::string>& keys) {
    std::error_code gone;  // another one may have taken it out
    for (const std::string& key : keys) std::filesystem::remove(path_of(key), gone);
}

}  // namespace ring
