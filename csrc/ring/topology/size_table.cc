// See size_table.h. A parser by recursive descent: one method per piece of the grammar
//
//   table = [section {";" section}]     section = collective ":" rule {"," rule}
//   rule  = size "-" [size] algorithm {"chunk=" size | "streams=" number}
#include "ring/topology/size_table.h"

#include <algorithm>
#include <bit>
#include <charconv>

#include "ring/base/error.h"

namespace ring {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kMarks = ":;,";

template <typename Names>
std::string joined(const Names& names) {
    std::string text;
    for (const auto name : names) text += (text.empty() ? "" : ", ") + std::string(name_of(name));
    return text;
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    bool at_end() {
        skip_space();
        return at_ == text_.size();
    }

    // Takes `mark` if it is next.
    bool take(char mark) {
        skip_space();
        if (at_ == text_.size() || text_[at_] != mark) return false;
        ++at_;
        return true;
    }

    // The characters up to the next space or mark; stays before them until `accept`.
    std::string_view word() {
        skip_space();
        const std::string_view rest = text_.substr(at_);
        const size_t end = std::min({rest.find_first_of(kSpace), rest.find_first_of(kMarks), rest.size()});
        return rest.substr(0, std::max<size_t>(end, rest.empty() ? 0 : 1));
    }
    void accept(std::string_view word) { at_ += word.size(); }

    // Refuses `wrong`, which begins `offset` characters after where the parser stands.
    [[noreturn]] void refuse(std::string_view wrong, const std::string& allowed, size_t offset = 0) const {
        throw ConfigError("size table, position " + std::to_string(at_ + offset + 1) + ": " +
                          (wrong.empty() ? "nothing" : "'" + std::string(wrong) + "'") +
                          "; allowed: " + allowed);
    }

    size_t size(std::string_view word, size_t offset, const char* what) const {
        size_t value = 0;
        const char* const end = word.data() + word.size();
        const auto [rest, error] = std::from_chars(word.data(), end, value);
        const std::string_view unit(rest, static_cast<size_t>(end - rest));
        const int shift = unit.empty() ? 0 : unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : -1;
        if (error != std::errc() || shift < 0 || value > (SIZE_MAX >> 1 >> shift)) refuse(word, what, offset);
        return value << shift;
    }

    Collective collective() {
        const std::string_view name = word();
        const auto found = std::ranges::find(kPlanned, name, [](Collective one) { return name_of(one); });
        if (found == kPlanned.end()) refuse(name, joined(kPlanned));
        accept(name);
        return *found;
    }

    SizeTable::Rule rule(Collective kind) {
        SizeTable::Rule parsed{0, SizeTable::kNoEnd, {}};
        const char* const what = "a range of sizes such as 0-8K or 1M-";
        const std::string_view range = word();
        const size_t dash = range.find('-');
        if (dash == std::string_view::npos || dash == 0) refuse(range, what);
        parsed.from = size(range.substr(0, dash), 0, what);
        if (dash + 1 < range.size()) parsed.to = size(range.substr(dash + 1), dash + 1, what);
        if (parsed.from >= parsed.to) refuse(range, "a range that ends after it begins");
        accept(range);

        const std::string_view name = word();
        const auto possible = traits_of(kind).algorithms;
        const auto found = std::ranges::find(possible, name, [](RailAlgorithm one) { return name_of(one); });
        if (found == possible.end())
            refuse(name, std::string("an algorithm of ") + name_of(kind) + ": " + joined(possible));
        accept(name);
        parsed.fixed.algorithm = *found;
        while (!at_end() && kMarks.find(text_[at_]) == std::string_view::npos) option(parsed.fixed);
        return parsed;
    }

  private:
    void skip_space() {
        while (at_ < text_.size() && kSpace.find(text_[at_]) != std::string_view::npos) ++at_;
    }

    void option(Override& fixed) {
        const std::string_view text = word();
        const size_t value_at = text.find('=') + 1;  // 0 where there is none
        const std::string_view name = text.substr(0, value_at);
        const std::string_view value = text.substr(value_at);
        if (name == "chunk=" && !fixed.chunk_bytes) {
            const std::string what =
                "a power of two, " + size_text(kSmallestChunk) + " .. " + size_text(kLargestChunk);
            const size_t bytes = size(value, value_at, what.c_str());
            if (!std::has_single_bit(bytes) || bytes < kSmallestChunk || bytes > kLargestChunk)
                refuse(value, what, value_at);
            fixed.chunk_bytes = bytes;
        } else if (name == "streams=" && !fixed.streams) {
            const std::string what = "1 .. " + std::to_string(kMostStreams);
            const size_t streams = size(value, value_at, what.c_str());
            if (streams < 1 || streams > kMostStreams) refuse(value, what, value_at);
            fixed.streams = static_cast<int>(streams);
        } else {
            refuse(text,
                   "chunk=, streams= (each once), ',' before the next range, ';' before the next collective");
        }
        accept(text);
    }

    std::string_view text_;
    size_t at_ = 0;
};

}  // namespace

SizeTable::SizeTable(std::string_view text) {
    Parser parser(text);
    while (!parser.at_end()) {
        const Collective kind = parser.collective();
        std::vector<Rule>& rules = rules_[static_cast<size_t>(kind)];
        if (!rules.empty()) parser.refuse(name_of(kind), "each collective once");
        if (!parser.take(':')) parser.refuse(parser.word(), "':' after the collective");
        do {
            const Rule rule = parser.rule(kind);
            for (const Rule& other : rules)
                if (rule.from < other.to && other.from < rule.to)
                    parser.refuse(size_text(rule.from) + "-" + (rule.to == kNoEnd ? "" : size_text(rule.to)),
                                  "ranges that do not overlap");
            rules.push_back(rule);
        } while (parser.take(','));
        std::ranges::sort(rules, {}, &Rule::from);
        if (!parser.take(';') && !parser.at_end()) parser.refuse(parser.word(), "';' or ','");
    }
}

Override SizeTable::lookup(Collective kind, size_t bytes) const {
    for (const Rule& rule : rules(kind))
        if (rule.from <= bytes && bytes < rule.to) return rule.fixed;
    return {};
}

std::string size_text(size_t bytes) {
    const char* unit = "";
    for (const char* larger : {"K", "M", "G"}) {
        if (bytes == 0 || bytes % 1024 != 0) break;
        bytes /= 1024;
        unit = larger;
    }
    return std::to_string(bytes) + unit;
}

}  // namespace ring
