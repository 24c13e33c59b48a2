// See crossings.h.
#include "ring/engine/crossings.h"

namespace ring {
namespace {

// Who caught the error and goes on may come all the same.
constexpr milliseconds kPatience{3000};

}  // namespace

Store* Crossings::store() const {
    return meeting_.party().world == 0 ? nullptr : meeting_.store().common();
}

std::string Crossings::key() const {
    return "ring/crossed/" + std::to_string(meeting_.party().world);
}

std::string Crossings::key_of(int rank) const {
    return key() + "/" + std::to_string(meeting_.party().global(rank));
}

bool Crossings::tell(const Crossed& error) {
    if (store() == nullptr) return false;
    try {
        store()->set(key_of(meeting_.party().rank), error.what());
        store()->set(key(), "1");
        return true;
    } catch (const std::exception&) {
        return false;  // the store is out of reach, for the others too
    }
}

void Crossings::take_back() {
    if (store() != nullptr) store()->set(key_of(meeting_.party().rank), "");
}

void Crossings::look() {
    if (store() == nullptr || Clock::now() - start_ < kPatience || !store()->has({key()})) return;
    const Party& party = meeting_.party();
    for (const int rank : meeting_.missing()) {
        if (!store()->has({key_of(rank)})) continue;
        const std::string words = store()->get(key_of(rank), Deadline::after(kPatience));
        if (words.find(party.list()) == std::string::npos) continue;
        throw Crossed(party.name(rank) + " does not come: " + words);
    }
}

}  // namespace ring
