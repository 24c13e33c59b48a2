// What ring_perf prints: text for people, CSV and JSON for programs. Called by rank 0 alone.
#pragma once

#include <memory>
#include <optional>

#include "csv.h"
#include "options.h"
#include "system.h"

namespace ring_perf {

struct Heading {
    System machine;
    Options options;
    int ranks = 1;
    int hosts = 1;
    std::optional<double> ping_pong;  // ns, before the ranks started; none on one core
};

// begin() once, row() for each size, end() when all ranks have ended. Goes to stdout.
class Report {
  public:
    virtual ~Report() = default;
    virtual void begin(const Heading& heading) = 0;
    virtual void row(const Row& row) = 0;
    virtual void end(std::optional<double> ping_pong) = 0;
};

std::unique_ptr<Report> make_report(Format format);

}  // namespace ring_perf
