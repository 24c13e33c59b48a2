// See memory.h.
#include "ring/transport/shm/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "ring/base/error.h"
#include "ring/transport/shm/abstract.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace ring {
namespace {

std::string refusal_of(const char* call) {
    return std::string(call) + ": " + std::strerror(errno);
}

// vm.memfd_noexec=2 wants to be told that nobody will execute it; kernels before 6.3 do not know the flag.
int create_memfd() {
    constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    const int fd = ::memfd_create("torch_ring", kFlags | MFD_NOEXEC_SEAL);
    return fd >= 0 || errno != EINVAL ? fd : ::memfd_create("torch_ring", kFlags);
}

// Either of these returns an empty descriptor where something is refused, which `refusal` then says.
UniqueFd make_memfd(off_t bytes, std::string& refusal) {
    UniqueFd memory(create_memfd());
    // Sealed, nobody can shrink it under the others' feet.
    if (!memory) {
        refusal = refusal_of("memfd_create");
    } else if (::ftruncate(memory.get(), bytes) != 0) {
        refusal = refusal_of("ftruncate");
    } else if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        refusal = refusal_of("fcntl(F_ADD_SEALS)");
    } else {
        return memory;
    }
    return UniqueFd();
}

UniqueFd open_file(const std::string& folder) {
    const int nameless = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (nameless >= 0) return UniqueFd(nameless);
    const std::string path = folder + "/" + random_name();
    UniqueFd file(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (file) ::unlink(path.c_str());
    return file;
}

UniqueFd make_file(const std::string& folder, off_t bytes, std::string& refusal) {
    UniqueFd file = open_file(folder);
    if (!file) {
        refusal = refusal_of("open");
    } else if (const int code = ::posix_fallocate(file.get(), 0, bytes); code != 0) {
        errno = code;
        refusal = refusal_of("fallocate");
        file.reset();
    }
    return file;
}

}  // namespace

UniqueFd make_shared_memory(size_t bytes, const char* fallback) {
    const auto size = static_cast<off_t>(bytes);
    std::string refused;
    std::string failed;
    if (UniqueFd memory = make_memfd(size, refused)) return memory;
    if (UniqueFd file = make_file(fallback, size, failed)) return file;
    throw Error("cannot make " + std::to_string(bytes) + " bytes of shared memory: " + refused +
                "; a file in " + fallback + " instead: " + failed +
                "; allow memfd_create in the container's seccomp profile, or give it a /dev/shm of that size "
                "for each group (docker --shm-size)");
}

}  // namespace ring
