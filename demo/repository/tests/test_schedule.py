import unittest

from tidytime import next_run, remaining


class Schedule(unittest.TestCase):
    def test_the_next_multiple_comes_after_now(self):
        self.assertEqual(next_run(0, "15m"), 900.0)
        self.assertEqual(next_run(900, 900), 1800.0)

    def test_remaining_is_text(self):
        self.assertEqual(remaining(600, "15m"), "5m")

    def test_an_interval_of_zero_is_refused(self):
        with self.assertRaises(ValueError):
            next_run(0, 0)


if __name__ == "__main__":
    unittest.main()
