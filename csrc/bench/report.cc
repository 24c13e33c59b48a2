// See report.h.
#include "report.h"

#include <cstdio>
#include <string>

namespace ring_perf {
namespace {

std::string plural(int count, const char* noun) {
    return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

void print_ping_pong(const char* when, std::optional<double> ns) {
    if (ns)
        std::printf("# ping-pong of a cache line, %s: %.1f ns one way\n", when, *ns);
    else
        std::printf("# ping-pong of a cache line, %s: not measured, one core\n", when);
}

// The heading as comments.
void print_comments(const Heading& heading) {
    const auto& [machine, options, ranks, hosts, ping_pong] = heading;
    std::printf("# %s, %s, %s, reductions with %s\n", machine.cpu.c_str(),
                plural(machine.cores, "core").c_str(), machine.kernel.c_str(), machine.isa.c_str());
    std::printf("# %s%s, %s on %s, timed calls %d, untimed %d\n", options.traits().name,
                !options.traits().sized ? ""
                : options.in_place()    ? " in place"
                                        : " out of place",
                plural(ranks, "rank").c_str(), plural(hosts, "host").c_str(), options.calls, options.warmup);
    print_ping_pong("before", ping_pong);
}

// nccl-tests' columns and closing lines.
class Text : public Report {
  public:
    void begin(const Heading& heading) override {
        print_comments(heading);
        std::printf("#\n#%11s %12s %9s %8s %12s %9s %9s %7s\n", "size", "count", "type", "redop", "time",
                    "algbw", "busbw", "#wrong");
        std::printf("#%11s %12s %9s %8s %12s %9s %9s\n", "(B)", "(elements)", "", "", "(us)", "(GB/s)",
                    "(GB/s)");
    }
    void row(const Row& row) override {
        std::printf("%12zu %12zu %9s %8s %12.2f %9.3f %9.3f %7zu\n", row.bytes, row.count, row.type, row.op,
                    row.times.median * 1e6, row.algbw(), row.busbw(), row.wrong);
        std::fflush(stdout);
        wrong_ += row.wrong;
        busbw_ += row.busbw();
        ++rows_;
    }
    void end(std::optional<double> ping_pong) override {
        std::printf("# Out of bounds values : %zu %s\n", wrong_, wrong_ == 0 ? "OK" : "FAILED");
        std::printf("# Avg bus bandwidth    : %.4g GB/s\n", rows_ == 0 ? 0 : busbw_ / rows_);
        print_ping_pong("after", ping_pong);
    }

  private:
    size_t wrong_ = 0;
    double busbw_ = 0;
    int rows_ = 0;
};

class Csv : public Report {
  public:
    void begin(const Heading& heading) override {
        print_comments(heading);
        print_csv_head();
    }
    void row(const Row& row) override { print_csv(row); }
    void end(std::optional<double> ping_pong) override { print_ping_pong("after", ping_pong); }
};

// One object.
class Json : public Report {
  public:
    void begin(const Heading& heading) override {
        const auto& [machine, options, ranks, hosts, ping_pong] = heading;
        std::printf("{\"machine\": {\"cpu\": %s, \"cores\": %d, \"kernel\": %s, \"isa\": %s},\n",
                    quoted(machine.cpu).c_str(), machine.cores, quoted(machine.kernel).c_str(),
                    quoted(machine.isa).c_str());
        std::printf(
            " \"job\": {\"collective\": \"%s\", \"in_place\": %s, \"ranks\": %d, \"hosts\": %d, \"calls\": "
            "%d, "
            "\"warmup\": %d},\n",
            options.traits().name, options.in_place() ? "true" : "false", ranks, hosts, options.calls,
            options.warmup);
        std::printf(" \"ping_pong_before_ns\": %s,\n \"sizes\": [", number(ping_pong).c_str());
    }
    void row(const Row& row) override {
        const std::optional<double> cpu =
            row.bytes >= kLarge ? std::optional<double>(row.cpu_per_gb()) : std::nullopt;
        std::printf(
            "%s\n  {\"size_b\": %zu, \"count\": %zu, \"type\": \"%s\", \"redop\": \"%s\", \"time_us\": %.3f, "
            "\"mean_us\": %.3f, \"min_us\": %.3f, \"p90_us\": %.3f, \"algbw_gb_s\": %.4f, \"busbw_gb_s\": "
            "%.4f, \"wrong\": %zu, "
            "\"cpu_s_per_gb\": %s}",
            first_ ? "" : ",", row.bytes, row.count, row.type, row.op, row.times.median * 1e6,
            row.times.mean * 1e6, row.times.min * 1e6, row.times.p90 * 1e6, row.algbw(), row.busbw(),
            row.wrong, number(cpu).c_str());
        std::fflush(stdout);
        first_ = false;
    }
    void end(std::optional<double> ping_pong) override {
        std::printf("],\n \"ping_pong_after_ns\": %s}\n", number(ping_pong).c_str());
    }

  private:
    static std::string number(std::optional<double> value) {
        if (!value) return "null";
        char text[32];
        std::snprintf(text, sizeof(text), "%.4f", *value);
        return text;
    }
    static std::string quoted(const std::string& text) {
        std::string result = "\"";
        for (const char c : text) {
            if (c == '"' || c == '\\') result += '\\';
            result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
        }
        return result + "\"";
    }

    bool first_ = true;
};

}  // namespace

std::unique_ptr<Report> make_report(Format format) {
    switch (format) {
        case Format::kCsv:
            return std::make_unique<Csv>();
        case Format::kJson:
            return std::make_unique<Json>();
        case Format::kText:
        case Format::kCount:
            break;
    }
    return std::make_unique<Text>();
}

}  // namespace ring_perf
