#include "cli/environment.hpp"
#include "cli/shard.hpp"
#include "test.hpp"

#include <map>

using namespace trawl;
using Catch::Matchers::Contains;

namespace {

using settings = std::map<std::string, std::string>;

targets::shard read(std::string_view text, settings const& set = {}) {
    auto const look = [&](char const* name) -> std::optional<std::string> {
        auto const found = set.find(name);
        return found == set.end() ? std::nullopt : std::optional(found->second);
    };
    return cli::read_shard(text, look);
}

std::string refusal(std::string_view text, settings const& set = {}) {
    try {
        read(text, set);
    } catch (cli::usage_error const& e) {
        return e.what();
    }
    return "";
}

} // namespace

TEST_CASE("a shard that is written out needs no environment", "[cli][shard]") {
    auto const part = read("3/16", {{"SLURM_ARRAY_TASK_ID", "7"}});
    CHECK(part.index == 3);
    CHECK(part.count == 16);
    for (auto text : {"", "/", "1", "4/4", "1/0", "-1/4", "auto", "auto/", "auto/0", "auto/x",
                      "auto/4/4", "auto/-4", "Auto/4", "1/auto", "auto/99999999999999999999"})
        CHECK(refusal(text) ==
              "--shard " + std::string(text) + ": a shard is I/N with 0 <= I < N, or auto/N");
}

TEST_CASE("auto takes the index from every job engine", "[cli][shard]") {
    for (settings const& set : {settings{{"SLURM_ARRAY_TASK_ID", "2"}},
                                {{"SLURM_ARRAY_TASK_ID", "3"}, {"SLURM_ARRAY_TASK_MIN", "1"}},
                                {{"SLURM_ARRAY_TASK_ID", "12"},
                                 {"SLURM_ARRAY_TASK_MIN", "10"},
                                 {"SLURM_ARRAY_TASK_COUNT", "4"}},
                                {{"JOB_COMPLETION_INDEX", "2"}},
                                {{"AWS_BATCH_JOB_ARRAY_INDEX", "2"}},
                                {{"BATCH_TASK_INDEX", "2"}, {"BATCH_TASK_COUNT", "4"}},
                                {{"CLOUD_RUN_TASK_INDEX", "2"}, {"CLOUD_RUN_TASK_COUNT", "4"}},
                                {{"NOMAD_ALLOC_INDEX", "2"}},
                                {{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "4"}},
                                {{"PMI_RANK", "2"}},
                                {{"PMIX_RANK", "2"}},
                                {{"SGE_TASK_ID", "3"}},
                                {{"PBS_ARRAY_INDEX", "2"}},
                                {{"PBS_ARRAYID", "2"}},
                                {{"LSB_JOBINDEX", "3"}}}) {
        INFO(set.begin()->first);
        auto const part = read("auto/4", set);
        CHECK(part.index == 2);
        CHECK(part.count == 4);
    }
}

TEST_CASE("without a job engine auto is refused, and the way out is said", "[cli][shard]") {
    for (settings const& set :
         {settings{}, {{"SGE_TASK_ID", "undefined"}, {"LSB_JOBINDEX", "0"}}, {{"RANK", "1"}}}) {
        auto const said = refusal("auto/4", set);
        CHECK_THAT(said, Contains("--shard auto/4: no job engine says which shard this is"));
        CHECK_THAT(said, Contains("SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, "));
        CHECK_THAT(said, Contains("write --shard I/4"));
        CHECK(said.find('\n') == std::string::npos);
    }
}

TEST_CASE("engines that agree are one, engines that disagree are refused", "[cli][shard]") {
    CHECK(read("auto/4", {{"OMPI_COMM_WORLD_RANK", "1"}, {"PMIX_RANK", "1"}, {"SGE_TASK_ID", "2"}})
              .index == 1);
    CHECK(refusal("auto/4", {{"SLURM_ARRAY_TASK_ID", "3"}, {"PMI_RANK", "0"}}) ==
          "--shard auto/4: SLURM_ARRAY_TASK_ID says 3 and PMI_RANK says 0: write --shard I/4");
}

TEST_CASE("an index that is no number or past the end is refused", "[cli][shard]") {
    for (auto value : {"", "x", "1x", "-1", "+1", " 1", "1.0", "99999999999999999999"})
        CHECK(refusal("auto/4", {{"JOB_COMPLETION_INDEX", value}}) ==
              "--shard auto/4: JOB_COMPLETION_INDEX=\"" + std::string(value) + "\" is no number");
    CHECK(refusal("auto/4", {{"PBS_ARRAY_INDEX", "4"}}) ==
          "--shard auto/4: PBS_ARRAY_INDEX=4 is shard 4, and 4 shards end with 3: let the array "
          "begin at 0 and have 4 elements");
    CHECK_THAT(refusal("auto/4", {{"SGE_TASK_ID", "5"}}), Contains("let the array begin at 1"));
    CHECK(refusal("auto/4", {{"SGE_TASK_ID", "0"}}) ==
          "--shard auto/4: SGE_TASK_ID=0 is less than 1, the first");
    CHECK_FALSE(
        refusal("auto/4", {{"SLURM_ARRAY_TASK_ID", "1"}, {"SLURM_ARRAY_TASK_MIN", "2"}}).empty());
    CHECK_FALSE(
        refusal("auto/4", {{"SLURM_ARRAY_TASK_ID", "1"}, {"SLURM_ARRAY_TASK_MIN", "?"}}).empty());
}

TEST_CASE("one element of an array that is run again is not taken for the first", "[cli][shard]") {
    // sbatch --array=3: the minimum is 3 too, and the index would be 0.
    CHECK(refusal("auto/4", {{"SLURM_ARRAY_TASK_ID", "3"},
                             {"SLURM_ARRAY_TASK_MIN", "3"},
                             {"SLURM_ARRAY_TASK_COUNT", "1"}}) ==
          "--shard auto/4: SLURM_ARRAY_TASK_COUNT=1, not 4; to run some shards again write --shard "
          "I/4");
}

TEST_CASE("machines with the same list agree on its seed", "[cli][shard]") {
    auto const one = cli::seed_of(targets::parse("10.0.0.0/24"));
    CHECK(one == cli::seed_of(targets::parse("10.0.0.0/25 10.0.0.128/25")));
    CHECK(one != cli::seed_of(targets::parse("10.0.0.0/23")));
    CHECK(one < std::uint64_t(1) << 53);
}
