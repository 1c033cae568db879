// Rule 9 of docs/raft-rules.md as a model: which disk of a node counts. `make model` searches it for a way to lose an entry.
//
// Each disk is a process of its own. Those of one node share its name and its place in a majority; which of them is in
// its machine, and whether both are, is for the search to say: who does nothing is down, or cut off, or lies in a drawer.
// A message is sent, heard and answered in one step. That is no loss where the order of steps is free, but for answers
// that are late: an append's may be lost, and what a leader has counted stays counted.
//
// Breadth first, so that what is found is found by the shortest way, and printed. What is looked for: two entries that
// are committed at one index, a leader without an entry that was committed before its term, two leaders of one term.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using u8 = uint8_t;
using u64 = uint64_t;

#ifndef NODES
#define NODES 3
#endif
#ifndef TURNS
#define TURNS 2  // disks of node 0; all others have one
#endif
constexpr int DISKS = NODES + TURNS - 1, LOG = 7, MAJORITY = NODES / 2 + 1;
constexpr int NOT_ADMITTED = -1, UNCONTESTED = 0;
constexpr u8 NOTHING = 0, PLAIN = 1, BIRTH = 2, ADMIT = 3;  // BIRTH admits the first disk of every node at once
enum : u8 { FOLLOWER, CANDIDATE, LEADER };

// What may happen how often, and what of the rule is left out. Each is an argument, name=value.
struct {
    int terms = 3, entries = LOG - 1, orders = 1, admissions = 2, crashes = 1, copies = 0, lost = 0, born = 1, mistaken = 0;
    int thousands = 5000;  // states at most: 1.3 GB of memory
    int voter = 1;         // who votes reads its whole log
    int counter = 1;       // who counts votes or acknowledgements does
    int knows = 1;         // a disk that is admitted again counts once it knows
    int stands = 1;        // whose log admits another disk of its node does not stand
    int abstains = 1;      // a disk votes for nobody in the term of its admission
} option;

constexpr int node_of(int disk) {
    return std::max(0, disk - TURNS + 1);
}

// The disk that a node was founded with.
constexpr int first_of(int node) {
    return node == 0 ? 0 : node + TURNS - 1;
}

struct Entry {
    u8 term, kind, disk, replaces;
    bool operator==(const Entry& other) const { return !memcmp(this, &other, sizeof other); }
};

struct Progress {
    u8 disk, match, counted;  // disk: 1 + the one that was heard last
};

struct Process {
    u8 founding, term, vote, admitted, applied, durable, length;  // on disk; vote: 1 + a node; durable: applied for good
    Entry log[LOG];
    u8 role, commit, votes, no_op;  // in memory; votes: a bit for each node
    Progress progress[NODES];

    const Entry* at(int index) const { return index >= 1 && index <= length ? &log[index - 1] : nullptr; }
    int last_term() const { return length ? log[length - 1].term : 0; }
};

struct State {
    Process process[DISKS];
    Entry committed[LOG];  // by whomever, ever,
    u8 in_term[LOG];       // in this term
    u8 orders, admissions, crashes, copies;
};

struct Row {
    bool exists;
    int disk, index, term, replaces;
};

static const char* violation = nullptr;

// The row of a node after so many entries of a log: membership.py, row_after().
static Row row_of(const Process& process, int entries, int node) {
    Row row{false, 0, 0, 0, 0};
    for (int index = 1; index <= entries; index++) {
        const Entry& entry = *process.at(index);
        if (entry.kind == BIRTH) row = {true, first_of(node), index, entry.term, 0};
        if (entry.kind != ADMIT || node_of(entry.disk) != node) continue;
        if (entry.replaces != (row.exists ? row.index : 0) || (row.exists && row.disk == entry.disk)) continue;
        row = {true, entry.disk, index, entry.term, entry.replaces};
    }
    return row;
}

// admission.py, from here to applied().
static int claim_of(const State& state, int disk) {
    const Process& process = state.process[disk];
    Row row = row_of(process, process.applied, node_of(disk));
    if (row.exists && row.index >= process.admitted) return row.disk == disk ? row.index : NOT_ADMITTED;
    if (process.admitted) return process.admitted;
    return process.founding ? UNCONTESTED : NOT_ADMITTED;
}

static bool holds(int disk, int claim, const Row& row) {
    if (claim == NOT_ADMITTED) return false;
    if (!row.exists || row.index < claim) return true;
    bool knows = row.index == claim || (claim == UNCONTESTED && row.replaces == 0);
    return (knows || !option.knows) && row.disk == disk;
}

static bool accepts(const State& state, int me, int other) {
    const Process& process = state.process[me];
    bool whole = option.counter || process.role == CANDIDATE;
    Row row = row_of(process, whole ? process.length : process.applied, node_of(other));
    return holds(other, claim_of(state, other), row);
}

static bool may_stand(const State& state, int disk) {
    const Process& process = state.process[disk];
    int claim = claim_of(state, disk);
    if (!option.stands) return claim != NOT_ADMITTED;
    return holds(disk, claim, row_of(process, process.length, node_of(disk)));
}

static bool may_vote_for(const State& state, int voter, int candidate) {
    const Process& process = state.process[voter];
    int own = claim_of(state, voter), its = claim_of(state, candidate);
    bool is_blank = own == UNCONTESTED && process.length == 0;
    if (own == NOT_ADMITTED || (is_blank && its != UNCONTESTED)) return false;
    return holds(candidate, its, row_of(process, option.voter ? process.length : process.applied, node_of(candidate)));
}

static void become_follower(Process& process) {
    process.role = FOLLOWER;
    process.votes = process.no_op = 0;
    memset(process.progress, 0, sizeof process.progress);
}

static void applied(State& state, int disk) {
    Process& process = state.process[disk];
    Row row = row_of(process, process.applied, node_of(disk));
    if (row.exists && row.disk == disk && row.index > process.admitted) {
        if (option.abstains && (process.term < row.term || process.vote == 0)) {
            process.term = std::max<int>(process.term, row.term);
            process.vote = 1 + node_of(disk);
        }
        process.admitted = row.index;
    }
    if (claim_of(state, disk) == NOT_ADMITTED && process.role != FOLLOWER) become_follower(process);
}

static void set_term(Process& process, int term) {
    process.term = term;
    process.vote = 0;
    become_follower(process);
}

static void add(Process& process, Entry entry) {
    process.log[process.length++] = entry;
}

static void cut_from(Process& process, int index) {
    if (index <= process.commit) violation = "a committed entry is cut";
    memset(&process.log[index - 1], 0, sizeof(Entry) * (LOG - index + 1));
    process.length = index - 1;
}

static void become_leader(State& state, int disk) {
    Process& process = state.process[disk];
    for (int index = 1; index <= LOG && state.committed[index - 1].kind != NOTHING; index++) {
        const Entry* own = process.at(index);
        bool has = own != nullptr && *own == state.committed[index - 1];
        if (state.in_term[index - 1] < process.term && !has) violation = "a leader lacks what was committed before its term";
    }
    for (int other = 0; other < DISKS; other++)
        if (other != disk && state.process[other].role == LEADER && state.process[other].term == process.term)
            violation = "two leaders of one term";
    process.role = LEADER;
    process.votes = 0;
    add(process, {process.term, PLAIN, 0, 0});
    process.no_op = process.length;
}

static void commit(State& state, int disk) {
    Process& process = state.process[disk];
    for (int index = process.length; index > process.commit && process.at(index)->term == process.term; index--) {
        int have = 1;  // itself
        for (const Progress& progress : process.progress) have += progress.counted >= index;
        if (have < MAJORITY) continue;
        process.commit = index;
        for (int each = 1; each <= index; each++) {
            Entry& known = state.committed[each - 1];
            if (known.kind != NOTHING && !(known == *process.at(each))) violation = "two entries are committed at one index";
            if (known.kind == NOTHING) state.in_term[each - 1] = process.term;
            known = *process.at(each);
        }
        return;
    }
}

// One way to go on. `named`: say it, too.
struct Steps {
    std::vector<State> states;
    std::vector<const char*> violations;
    std::vector<std::string> names;
    bool named = false;

    void clear() {
        states.clear();
        violations.clear();
        names.clear();
    }

    void take(const State& from, const State& to, const char* format, int a = 0, int b = 0, int c = 0) {
        if (violation == nullptr && !memcmp(&from, &to, sizeof to)) return;
        states.push_back(to);
        violations.push_back(violation);
        violation = nullptr;
        if (!named) return;
        char text[160];
        snprintf(text, sizeof text, format, a, b, c);
        names.push_back(text);
    }
};

static void stand(const State& from, int disk, Steps& steps) {
    const Process& process = from.process[disk];
    if (process.role == LEADER || process.term >= option.terms || process.length >= option.entries) return;
    if (!may_stand(from, disk)) return;
    State to = from;
    Process& candidate = to.process[disk];
    set_term(candidate, candidate.term + 1);
    candidate.role = CANDIDATE;
    candidate.vote = 1 + node_of(disk);
    candidate.votes = 1 << node_of(disk);
    steps.take(from, to, "disk %d stands in term %d", disk, candidate.term);
}

static void ask_for_a_vote(const State& from, int asks, int votes, Steps& steps) {
    State to = from;
    Process &candidate = to.process[asks], &voter = to.process[votes];
    if (candidate.role != CANDIDATE || candidate.votes >> node_of(votes) & 1) return;
    if (voter.term > candidate.term) {
        set_term(candidate, voter.term);
        return steps.take(from, to, "disk %d hears of term %d from disk %d", asks, candidate.term, votes);
    }
    if (voter.term < candidate.term) set_term(voter, candidate.term);
    bool is_free = voter.vote == 0 || voter.vote == 1 + node_of(asks);
    bool is_up_to_date = std::make_pair(candidate.last_term(), int(candidate.length)) >=
                         std::make_pair(voter.last_term(), int(voter.length));
    if (!is_free || !is_up_to_date || !may_vote_for(to, votes, asks))
        return steps.take(from, to, "disk %d refuses disk %d in term %d", votes, asks, candidate.term);
    voter.vote = 1 + node_of(asks);
    if (may_stand(to, asks) && accepts(to, asks, votes)) candidate.votes |= 1 << node_of(votes);
    if (__builtin_popcount(candidate.votes) >= MAJORITY) become_leader(to, asks);
    steps.take(from, to, "disk %d votes for disk %d in term %d", votes, asks, candidate.term);
}

static void propose(const State& from, int disk, Steps& steps) {
    const Process& process = from.process[disk];
    if (process.length >= option.entries) return;
    if (from.orders < option.orders) {
        State to = from;
        to.orders++;
        add(to.process[disk], {process.term, PLAIN, 1, 0});
        steps.take(from, to, "disk %d adds an order at %d in term %d", disk, process.length + 1, process.term);
    }
    if (process.applied < process.no_op || from.admissions >= option.admissions) return;
    for (int other = 0; other < DISKS; other++) {
        if (from.process[other].term != process.term || (node_of(other) == node_of(disk) && other != disk)) continue;
        Row row = row_of(process, process.applied, node_of(other));
        if (row.exists && row.disk == other) continue;
        State to = from;
        to.admissions++;
        add(to.process[disk], {process.term, ADMIT, u8(other), u8(row.exists ? row.index : 0)});
        steps.take(from, to, "disk %d adds the ADMIT of disk %d at %d", disk, other, process.length + 1);
    }
}

static void hear_answer(State& state, int leads, int follows, int last) {
    Progress& progress = state.process[leads].progress[node_of(follows)];
    if (progress.disk != 1 + follows) progress = {u8(1 + follows), 0, 0};
    progress.match = std::max<int>(progress.match, last);
    progress.counted = accepts(state, leads, follows) ? progress.match : 0;
    commit(state, leads);
}

static void append(const State& from, int leads, int follows, Steps& steps) {
    State heard = from;
    Process &leader = heard.process[leads], &follower = heard.process[follows];
    if (follower.term > leader.term) {
        set_term(leader, follower.term);
        return steps.take(from, heard, "disk %d hears of term %d from disk %d", leads, follower.term, follows);
    }
    if (follower.term < leader.term) set_term(follower, leader.term);
    if (follower.role == LEADER) violation = "two leaders of one term";
    become_follower(follower);
    int common = 0;
    while (common < std::min(leader.length, follower.length) && leader.log[common].term == follower.log[common].term) common++;
    for (int last = common; last <= leader.length; last++) {
        State to = heard;
        Process& taker = to.process[follows];
        if (last > common && taker.length > common) cut_from(taker, common + 1);
        for (int index = common; index < last; index++) add(taker, leader.log[index]);
        taker.commit = std::max<int>(taker.commit, std::min<int>(leader.commit, last));
        if (option.lost) steps.take(from, to, "disk %d sends disk %d all up to %d, answer lost", leads, follows, last);
        hear_answer(to, leads, follows, last);
        steps.take(from, to, "disk %d sends disk %d all up to %d, answered", leads, follows, last);
    }
}

static void restart(Process& process) {
    become_follower(process);
    process.commit = process.applied;
    if (process.term < process.last_term()) set_term(process, process.last_term());
}

static void crash(const State& from, int disk, Steps& steps) {
    if (from.crashes >= option.crashes) return;
    for (bool loses : {false, true}) {
        State to = from;
        to.crashes++;
        Process& process = to.process[disk];
        if (loses && process.durable == process.applied) continue;
        (loses ? process.applied : process.durable) = loses ? process.durable : process.applied;
        restart(process);
        applied(to, disk);
        steps.take(from, to, loses ? "disk %d restarts without its last transactions" : "disk %d restarts", disk);
    }
}

static void install(const State& from, int disk, int source, Steps& steps) {
    const Process& its = from.process[source];
    if (from.copies >= option.copies || its.applied <= from.process[disk].applied) return;
    State to = from;
    to.copies++;
    Process& process = to.process[disk];
    const Entry* same = process.at(its.applied);
    bool keeps_tail = same != nullptr && same->term == its.at(its.applied)->term;
    if (!keeps_tail) {
        memset(process.log, 0, sizeof process.log);
        process.length = its.applied;
    }
    memcpy(process.log, its.log, sizeof(Entry) * its.applied);
    process.applied = process.durable = its.applied;
    restart(process);
    applied(to, disk);
    steps.take(from, to, "disk %d installs a copy of disk %d's state at %d", disk, source, its.applied);
}

static void go_on(const State& from, Steps& steps) {
    for (int disk = 0; disk < DISKS; disk++) {
        const Process& process = from.process[disk];
        stand(from, disk, steps);
        if (process.role == LEADER) propose(from, disk, steps);
        for (int other = 0; other < DISKS; other++) {
            if (node_of(other) == node_of(disk)) continue;
            ask_for_a_vote(from, disk, other, steps);
            if (process.role == LEADER) append(from, disk, other, steps);
            install(from, disk, other, steps);
        }
        if (process.applied < process.commit) {
            State to = from;
            to.process[disk].applied = process.commit;
            applied(to, disk);
            steps.take(from, to, "disk %d applies all up to %d", disk, process.commit);
        }
        crash(from, disk, steps);
    }
}

static State beginning() {
    State state;
    memset(&state, 0, sizeof state);
    for (int node = 0; node < NODES; node++) {
        Process& process = state.process[first_of(node)];
        process.founding = 1;
        if (!option.born) continue;
        process.term = process.applied = process.durable = process.admitted = process.commit = 1;
        process.vote = 1 + 1;
        add(process, {1, BIRTH, 0, 0});
    }
    state.process[1].founding = option.mistaken;
    if (option.born) {  // one of them leads
        Process& leader = state.process[first_of(1)];
        leader.role = LEADER;
        leader.no_op = 1;
        state.committed[0] = leader.log[0];
        state.in_term[0] = 1;
    }
    return state;
}

// The states that were seen, by 64 bits of hash: of 10^8 states, two are taken for one with a chance of 1 in 4,000.
class Seen {
    std::vector<u64> slots;
    u64 mask;

    static u64 hash(const State& state) {
        u64 result = 0x9E3779B97F4A7C15;
        const char* bytes = reinterpret_cast<const char*>(&state);
        for (size_t at = 0; at < sizeof state; at += 8) {
            u64 word = 0;
            memcpy(&word, bytes + at, std::min<size_t>(8, sizeof state - at));
            result = (result ^ word) * 0xff51afd7ed558ccd;
            result = (result ^ result >> 32) * 0xc4ceb9fe1a85ec53;
            result ^= result >> 29;
        }
        return result ? result : 1;
    }

public:
    u64 count = 0;

    explicit Seen(u64 most) {
        u64 size = 1024;
        while (size < 2 * most) size *= 2;
        slots.assign(size, 0);
        mask = size - 1;
    }

    bool is_new(const State& state) {
        u64 key = hash(state), slot = key >> 7 & mask;
        for (; slots[slot]; slot = (slot + 1) & mask)
            if (slots[slot] == key) return false;
        slots[slot] = key;
        count++;
        return true;
    }
};

struct Step {
    uint32_t parent;  // in the level before
    uint16_t way;     // of go_on()
};

static void print_way(const std::vector<std::vector<Step>>& levels, size_t at, int last_way) {
    std::vector<int> ways{last_way};
    for (size_t depth = levels.size() - 1; depth > 0; depth--) {
        ways.push_back(levels[depth][at].way);
        at = levels[depth][at].parent;
    }
    State state = beginning();
    for (auto way = ways.rbegin(); way != ways.rend(); ++way) {
        Steps steps;
        steps.named = true;
        go_on(state, steps);
        printf("  %s\n", steps.names[*way].c_str());
        state = steps.states[*way];
    }
}

static int search() {
    const u64 most = u64(option.thousands) * 1000;
    Seen seen(most + most / 2);
    std::vector<State> level{beginning()}, next;
    std::vector<std::vector<Step>> levels{{{0, 0}}};
    Steps steps;
    seen.is_new(level[0]);
    while (!level.empty()) {
        std::vector<Step> taken;
        next.clear();
        for (size_t at = 0; at < level.size(); at++) {
            steps.clear();
            go_on(level[at], steps);
            for (size_t way = 0; way < steps.states.size(); way++) {
                if (steps.violations[way]) {
                    printf("%s, after %zu steps:\n", steps.violations[way], levels.size());
                    print_way(levels, at, int(way));
                    return 1;
                }
                if (!seen.is_new(steps.states[way])) continue;
                next.push_back(steps.states[way]);
                taken.push_back({uint32_t(at), uint16_t(way)});
            }
            if (seen.count >= most) {
                printf("nothing in %llu states, of up to %zu steps\n", (unsigned long long)seen.count, levels.size());
                return 0;
            }
        }
        levels.push_back(std::move(taken));
        level.swap(next);
    }
    printf("nothing in all %llu states, of up to %zu steps\n", (unsigned long long)seen.count, levels.size() - 2);
    return 0;
}

int main(int count, char** arguments) {
    const struct {
        const char* name;
        int* value;
    } names[] = {
        {"terms", &option.terms}, {"entries", &option.entries}, {"orders", &option.orders},
        {"admissions", &option.admissions}, {"crashes", &option.crashes}, {"copies", &option.copies},
        {"lost", &option.lost}, {"born", &option.born}, {"mistaken", &option.mistaken},
        {"thousands", &option.thousands}, {"voter", &option.voter}, {"counter", &option.counter},
        {"knows", &option.knows}, {"stands", &option.stands}, {"abstains", &option.abstains},
    };
    for (int at = 1; at < count; at++) {
        std::string argument = arguments[at], name = argument.substr(0, argument.find('='));
        auto found = std::find_if(std::begin(names), std::end(names), [&](auto& each) { return name == each.name; });
        if (found == std::end(names) || argument.find('=') == std::string::npos) {
            fprintf(stderr, "what is %s? Arguments are name=number; names:", argument.c_str());
            for (auto& each : names) fprintf(stderr, " %s", each.name);
            fprintf(stderr, "\n");
            return 2;
        }
        *found->value = atoi(argument.c_str() + argument.find('=') + 1);
    }
    if (option.entries >= LOG) option.entries = LOG - 1;
    return search();
}
