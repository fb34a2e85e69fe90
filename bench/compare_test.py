#!/usr/bin/env python3
"""bench/compare's figures, table and plots, from rounds that are made up (TAP)."""
import json
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

import compare_core
import compare_earlier
import compare_page
import compare_run
import compare_table
import compare_work


def rounds(walls, lost=0, note=""):
    return [{"wall_ms": wall, "cpu_ms": wall / 2, "rss_mb": 10.0, "switches": 5, "threads": 3, "lost": lost, "note": note} for wall in walls]


def result(*workloads, date="d", sizes=(16,), **more):
    machine = {"date": date, "minutes": 1, "cores": 2, "cpu": "c", "memory_mb": 3, "system": "s", "kernel": "k", "limits": "l",
               "load_before": (0, 0, 0), "load_after": (1, 1, 1), "versions": {"trawl": "<v>"}}
    return {"machine": machine, "arguments": ["--quick"], "commands": {f"{workload} async": date for workload in workloads},
            "rows": [compare_table.row(workload, "async", n, rounds([n])) for workload in workloads for n in sizes], **more}


class Spread(unittest.TestCase):
    def test_equal_values_have_none(self):
        self.assertEqual(compare_table.quartile_spread([7, 7, 7, 7, 7]), 0)

    def test_one_slow_round_of_five_does_not_count(self):
        self.assertEqual(compare_table.quartile_spread([10, 10, 10, 10, 90]), 0)

    def test_the_middle_half_is_measured_by_the_median(self):
        self.assertAlmostEqual(compare_table.quartile_spread([8, 9, 10, 11, 12]), 0.2)

    def test_one_round_and_a_median_of_zero_have_none(self):
        self.assertEqual([compare_table.quartile_spread(values) for values in ([4], [0, 0, 1])], [0, 0])


class Rows(unittest.TestCase):
    def test_median_least_and_most(self):
        one = compare_table.row("icmp", "async", 16, rounds([3, 1, 2]))
        self.assertEqual(one["wall_ms"], {"median": 2, "least": 1, "most": 3})
        self.assertEqual((one["rounds"], one["lost"], one["note"]), (3, {"least": 0, "most": 0}, ""))

    def test_a_wide_spread_is_said(self):
        self.assertTrue(compare_table.row("icmp", "async", 16, rounds([10, 20, 30, 40, 50]))["noisy"])
        self.assertFalse(compare_table.row("icmp", "async", 16, rounds([10, 10.2, 10.1, 10, 10]))["noisy"])

    def test_a_model_that_was_not_run_is_a_row(self):
        one = compare_table.row("ssh", "threads", 65536, [], "not run: too many threads")
        self.assertEqual((one["rounds"], one["note"]), (0, "not run: too many threads"))
        self.assertIn("not run: too many threads", compare_table.table([one]))

    def test_notes_of_rounds_are_said_once(self):
        self.assertEqual(compare_table.row("ssh", "threads", 4, rounds([1, 1], 4, "exit 1"), "2 rounds")["note"], "2 rounds; exit 1")

    def test_the_table_divides_by_async_and_shows_losses(self):
        rows = [compare_table.row("icmp", "async", 16, rounds([2])), compare_table.row("icmp", "pool", 16, rounds([5], lost=3))]
        words = compare_table.table(rows).splitlines()[-1].split()
        self.assertEqual(words[0], "pool")
        self.assertIn("2.50", words)
        self.assertEqual(words[-1], "3")

    def test_larger_n_is_foretold_from_the_last_two(self):
        self.assertEqual(compare_table.next_takes([(16, 9.0), (256, 2.0), (1024, 5.0)], 4096), 17.0)
        self.assertEqual(compare_table.next_takes([(16, 2.0), (256, 1.9)], 1024), 1.9)
        self.assertEqual(compare_table.next_takes([(16, 2.0)], 1024), 0)

    def test_a_fair_share_is_one_part_of_what_a_verb_does_alone(self):
        seen = compare_table.shares({"a": 100.0, "b": 10.0}, {"a": 50.0, "b": 2.0})
        self.assertEqual((seen["a"]["share"], round(seen["b"]["share"], 9)), (1.0, 0.4))


class Earlier(unittest.TestCase):
    def setUp(self):
        self.core = [{"what": "w", "unit": "ns", "trawl": 1.0, "threads": 2.0, "asyncio": None}]

    def test_a_part_measured_again_takes_the_place_of_its_like_only(self):
        first = compare_earlier.merged(None, result("icmp", "smtp", date="old", core=self.core))
        again = {"date": "new", "load_before": (5, 5, 5), "load_after": (6, 6, 6), "trawl": "t", "arguments": ["-w", "smtp"]}
        seen = compare_earlier.merged(json.loads(json.dumps(first)), result("smtp", date="new", sizes=(16, 256), measured={"smtp": again}))
        self.assertEqual({name: stamp["date"] for name, stamp in seen["measured"].items()}, {"core": "old", "icmp": "old", "smtp": "new"})
        self.assertEqual([(one["workload"], one["n"]) for one in seen["rows"]], [("icmp", 16), ("smtp", 16), ("smtp", 256)])
        self.assertEqual(seen["commands"], {"icmp async": "old", "smtp async": "new"})
        self.assertEqual(seen["core"], self.core)
        text = compare_page.page(seen, {"icmp": "", "smtp": ""})
        self.assertIn("icmp: measured old, load averages 0.0 0.0 0.0 -&gt; 1.0 1.0 1.0, trawl &lt;v&gt;, by <code>bench/compare --quick<", text)
        self.assertIn("smtp: measured new, load averages 5.0 5.0 5.0 -&gt; 6.0 6.0 6.0, trawl t, by <code>bench/compare -w smtp<", text)

    def test_what_was_stopped_before_its_first_row_leaves_the_earlier_ones(self):
        seen = compare_earlier.merged(result("icmp", date="old", core=self.core), result(date="new", measured={"icmp": {}, "core": {}}))
        self.assertEqual([stamp["date"] for stamp in seen["measured"].values()], ["old", "old"])
        self.assertEqual(len(seen["rows"]), 1)

    def test_a_folder_without_results_gives_none_and_one_of_another_machine_is_refused(self):
        with tempfile.TemporaryDirectory() as name:
            folder, ours = pathlib.Path(name), result("icmp")["machine"]
            self.assertIsNone(compare_earlier.read(folder, ours))
            (folder / "results.json").write_text(json.dumps(result("icmp")))
            self.assertEqual(len(compare_earlier.read(folder, ours)["rows"]), 1)
            with self.assertRaisesRegex(ValueError, "another machine .cpu c, here d"):
                compare_earlier.read(folder, {**ours, "cpu": "d"})


class Plots(unittest.TestCase):
    def test_a_plot_is_well_formed_and_names_every_model(self):
        text = compare_page.plot("a <b> & c", {"async": [(16, 1, 0.9, 1.2), (256, 10, 9, 12)], "tar | gzip": [(16, 5, 5, 5)]}, [16, 256])
        labels = [node.text for node in xml.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
        self.assertTrue({"a <b> & c", "async", "tar | gzip", "16", "256"} <= set(labels))

    def test_points_stay_inside_the_axes(self):
        text = compare_page.plot("x", {"async": [(16, 0.003, 0.001, 0.02), (65536, 40000, 100, 90000)]}, [16, 65536])
        for dot in xml.fromstring(text).iter("{http://www.w3.org/2000/svg}circle"):
            self.assertTrue(compare_page.LEFT <= float(dot.get("cx")) <= compare_page.WIDTH - compare_page.RIGHT)
            self.assertTrue(compare_page.TOP <= float(dot.get("cy")) <= compare_page.HEIGHT - compare_page.BOTTOM)

    def test_no_values_no_plot(self):
        self.assertEqual(compare_page.plot("x", {}, [16]), "")

    def test_labels_do_not_cover_each_other(self):
        self.assertEqual(sorted(compare_page.spread_apart([10, 11, 12, 80], 13, 200).values()), [10, 23, 36, 80])

    def test_labels_do_not_leave_at_the_bottom(self):
        self.assertEqual(sorted(compare_page.spread_apart([10, 95, 96, 97], 13, 100).values()), [10, 74, 87, 100])

    def test_rows_that_lost_something_are_not_drawn(self):
        rows = [compare_table.row("icmp", "async", 16, rounds([2])), compare_table.row("icmp", "pool", 16, rounds([1], lost=1))]
        self.assertEqual(list(compare_page.series_of(rows, "icmp", "cpu_ms")), ["async"])

    def test_the_page_asks_for_nothing_from_elsewhere(self):
        text = compare_page.page(compare_earlier.merged(None, result("icmp", sizes=(16, 256))), {"icmp": "echoes"})
        self.assertIn("&lt;v&gt;", text)
        for word in ("src=", "href=", "url(", "@import", "<script"):
            self.assertNotIn(word, text)


class Programs(unittest.TestCase):
    def test_figures_of_the_core_are_read(self):
        text = "queue push + pop, nobody waits                  58.0 ns   aim <= 60\n  started in   1.5 ms\nno figure\n"
        self.assertEqual(compare_core.parse(text), {"queue push + pop, nobody waits": (58.0, "ns"), "started in": (1.5, "ms")})

    def test_there_is_a_ceiling_for_threads(self):
        most, why = compare_run.thread_ceiling()
        self.assertGreater(most, 0)
        self.assertIn("allows", why)

    def test_every_size_is_a_network_of_that_size(self):
        for n in (16, 256, 65536):
            self.assertEqual(compare_work.Icmp(None).network(n).num_addresses, n)


class Tap(unittest.TextTestResult):
    def stopTest(self, test):
        failed = [why for one, why in self.failures + self.errors if one is test]
        print(f"{'not ok' if failed else 'ok'} {self.testsRun} {test.id().split('.', 1)[1]}")
        for line in "".join(failed).splitlines():
            print(f"# {line}")
        super().stopTest(test)

    def printErrors(self):
        pass


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    with open("/dev/null", "w") as nowhere:
        done = unittest.TextTestRunner(stream=nowhere, resultclass=Tap).run(suite)
    print(f"1..{done.testsRun}")
    return not done.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
