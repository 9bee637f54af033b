import unittest

from tidytime import DurationError, parse_duration


class ParseDuration(unittest.TestCase):
    def test_reads_units_in_any_spelling(self):
        self.assertEqual(parse_duration("1h 30m"), 5400.0)
        self.assertEqual(parse_duration("90 min"), 5400.0)
        self.assertEqual(parse_duration("2 days, 1 hour"), 176400.0)

    def test_reads_a_sign(self):
        self.assertEqual(parse_duration("-5s"), -5.0)

    def test_says_where_it_stops(self):
        with self.assertRaisesRegex(DurationError, "fortnight"):
            parse_duration("1 fortnight")
        with self.assertRaises(DurationError):
            parse_duration("")


if __name__ == "__main__":
    unittest.main()
