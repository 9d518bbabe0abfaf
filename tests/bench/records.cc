// What a guard's memory grows by, and how long a page of a list takes, where it keeps 100,000
// records:
//
//     bench_records FOLDER           an empty folder of root's that others can't change, best in
//     /dev/shm bench_records FOLDER write     only writes them
#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "daemon/jobs/record/record_store.h"

namespace {

using namespace postern::jobs;
using postern::JobId;
using postern::JobState;

constexpr int count = 100'000;
constexpr long most_bytes = 200;  // as job_index.h says

long resident_bytes() {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line)) {
        if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6) * 1024;
    }
    return 0;
}

// As a thousand days of cron would leave them: each from a unit of its own, of several users, half
// of them with a key, and half of them cancelled. Some have not ended.
Record record_of(int number) {
    char id[33];
    std::snprintf(id, sizeof id, "%08x%024x", static_cast<unsigned>(number) * 2'654'435'761U,
                  static_cast<unsigned>(number));
    Record record;
    record.job = JobId(id);
    record.action = "backup.part-" + std::to_string(number % 50);
    const bool is_active = number % 1000 == 999;
    record.state = is_active ? RecordState::running : RecordState::ended;
    const auto uid = static_cast<uid_t>(number % 10 < 5 ? 1000 : 1000 + number % 10);
    record.requester = {uid, uid, 4711};
    record.requester.unit = "session-" + std::to_string(number) + ".scope";
    record.requester.user = "operator";
    record.requester.listener = "/run/postern/postern.sock";
    record.requester.rule = "allow user operator";
    if (number % 2 == 0) record.requester.key = "nightly-" + std::to_string(number);
    record.arguments = {{"target", "/srv/data/" + std::to_string(number)}};
    record.created = postern::time_of(1'700'000'000'000'000 + static_cast<std::uint64_t>(number));
    record.result.outcome = postern::Outcome::exited;
    record.result.started = record.created;
    record.result.ended = record.created + std::chrono::seconds(2);
    record.result.cpu = std::chrono::milliseconds(35);
    record.result.max_resident_kib = 9000;
    if (number % 4 < 2) {
        const postern::Canceller by{uid, "operator"};
        record.cancelling = Cancellation{by, 15, false};
        record.result.cancelled_by = by;
        record.result.ended_processes = static_cast<std::uint32_t>(number % 3);
    }
    return record;
}

void write_records(const std::string& folder) {
    for (int number = 0; number < count; ++number) {
        const Record record = record_of(number);
        const std::string path = folder + "/jobs/" + record.job.text();
        mkdir(path.c_str(), 0700);
        std::ofstream(path + "/record.json") << to_json(record);
    }
}

void time_page(const RecordStore& store, const char* what, const JobQuery& query) {
    const auto begin = std::chrono::steady_clock::now();
    const JobPage page = store.page(query);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    std::printf("%-50s %7.3f ms, %zu jobs%s\n", what, took.count(), page.jobs.size(),
                page.next ? ", and more" : "");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 && argc != 3)
        return std::fprintf(stderr, "usage: bench_records FOLDER [write]\n"), 2;
    const std::string folder = argv[1];
    const auto open = [&] {
        return RecordStore::open(folder, "", {count, count, 1ULL << 40, 1ULL << 40}, {});
    };
    if (!open()) return std::fprintf(stderr, "%s\n", open().error().message.c_str()), 1;
    write_records(folder);
    if (argc == 3) return 0;
    auto store = open();
    // What a first load takes once, whatever it finds.
    static_cast<void>(from_json(to_json(record_of(0))));
    const long before = resident_bytes();
    const auto begin = std::chrono::steady_clock::now();
    static_cast<void>(store->load());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    const long after = resident_bytes();
    const long each = (after - before) / count;
    std::printf("loaded in %.1f s; %ld bytes of memory for each record\n", took.count(), each);
    if (each > most_bytes) {
        return std::fprintf(stderr, "more than %ld bytes for each record\n", most_bytes), 1;
    }

    JobQuery query;
    query.limit = 200;
    time_page(*store, "everybody's", query);
    query.caller =
        JobQuery::Caller{1000, 1000, 0, true, 0, [](const std::string&) { return false; }};
    time_page(*store, "one's own", query);
    query.state = JobState::failed;
    time_page(*store, "one's own that failed: none", query);
    query.state.reset();
    query.caller->unit_counts = [](const std::string&) { return true; };
    time_page(*store, "one's own of a unit: none", query);
    query.caller.reset();
    query.beginning = record_of(77).job.text().substr(0, 6);
    time_page(*store, "by the beginning of an id", query);
    return 0;
}
