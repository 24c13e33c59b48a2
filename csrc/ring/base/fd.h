// A file descriptor with one owner, closed when it goes, and closed in forked children too.
#pragma once

#include <utility>

namespace ring {

// Descriptors are registered so that a fork() of the process closes them in the child: a forked data loader
// that kept a copy of a connection open would hide the death of its parent from the peers.
class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd);  // takes ownership; fd may be -1 (empty)
    ~UniqueFd() { reset(); }
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)), forks_(other.forks_) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
            forks_ = other.forks_;
        }
        return *this;
    }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    void reset();

  private:
    int fd_ = -1;
    int forks_ =
        0;  // fork_count() where it was opened: in a child the number is another descriptor's, or free
};

// Throws Error with `what` and errno where a system call that returns a descriptor failed.
UniqueFd checked_fd(int fd, const char* what);

}  // namespace ring
