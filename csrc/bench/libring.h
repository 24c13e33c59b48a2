// libring as ring_perf measures it: one rank of a group.
#pragma once

#include "measure.h"
#include "ring/engine/communicator.h"

namespace ring_perf {

// Throws what the group's operations throw. `group` must outlive it.
class Libring final : public Library {
  public:
    explicit Libring(ring::Communicator& group) : group_(group) {}

    int rank() const override { return group_.layout().rank(); }
    int ranks() const override { return group_.layout().size(); }
    std::function<void()> call_of(const Subject& subject, Tensors& tensors) override;
    void barrier() override;
    std::vector<Result> gather(const Result& mine) override;

  private:
    ring::Communicator& group_;
};

}  // namespace ring_perf
