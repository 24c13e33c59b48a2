// See crossings.h.
#include "ring/engine/crossings.h"

#include <utility>

#include "ring/fault/timeouts.h"

namespace ring {

bool Crossings::able() const {
    return memory_ != nullptr && meeting_.party().world != 0 && meeting_.store().common() != nullptr;
}

std::string Crossings::key() const {
    return "ring/crossed/" + std::to_string(meeting_.party().world);
}

std::string Crossings::key_of(int rank) const {
    return key() + "/" + std::to_string(meeting_.party().global(rank));
}

void Crossings::tell(const Crossed& error) {
    if (!able()) return;
    {
        const std::lock_guard lock(memory_->mutex);
        memory_->known.insert(meeting_.crossing());
        memory_->told = true;
    }
    try {
        store().set(key_of(meeting_.party().rank),
                    encode({{"crossing", meeting_.crossing()}, {"words", one_line(error.what())}}));
        store().set(key(), "1");
    } catch (const std::exception&) {
        // The store is out of reach, for the others too.
    }
}

void Crossings::take_back() {
    if (!able()) return;
    {
        const std::lock_guard lock(memory_->mutex);
        if (!std::exchange(memory_->told, false)) return;
    }
    try {
        store().set(key_of(meeting_.party().rank), "");
    } catch (const std::exception&) {
        // As above.
    }
}

void Crossings::look(bool at_once) {
    if (!able() || (!at_once && Clock::now() - start_ < kCrossed) || !store().has({key()})) return;
    for (const int rank : meeting_.missing()) look_at(rank);
}

void Crossings::look_at(int rank) {
    if (!store().has({key_of(rank)})) return;
    const Card said = decode_card(store().get(key_of(rank), Deadline::after(kCrossed)));
    if (said.empty()) return;
    {
        const std::lock_guard lock(memory_->mutex);
        if (memory_->known.contains(said.at("crossing"))) return;
    }
    const Party& party = meeting_.party();
    const std::string& words = said.at("words");
    if (words.find(party.list()) == std::string::npos) return;  // it may be about other groups
    throw Crossed(party.name(rank) + " does not come: " + words, said.at("crossing"));
}

}  // namespace ring
