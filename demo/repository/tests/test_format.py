import unittest

from tidytime import format_duration


class FormatDuration(unittest.TestCase):
    def test_units_of_zero_are_left_out(self):
        self.assertEqual(format_duration(3725), "1h 2m 5s")
        self.assertEqual(format_duration(7200), "2h")
        self.assertEqual(format_duration(90061), "1d 1h 1m 1s")

    def test_nothing_is_zero_seconds(self):
        self.assertEqual(format_duration(0), "0s")
        self.assertEqual(format_duration(0.2), "0s")

    def test_long_style_spells_the_units(self):
        self.assertEqual(format_duration(3661, style="long"), "1 hour, 1 minute, 1 second")
        self.assertEqual(format_duration(120, style="long"), "2 minutes")

    def test_seconds_are_rounded(self):
        self.assertEqual(format_duration(12.4), "12s")

    def test_rounding_carries_into_the_next_unit(self):
        # Fails since the first release: see issue 1.
        self.assertEqual(format_duration(3599.7), "1h")
        self.assertEqual(format_duration(59.6), "1m")


if __name__ == "__main__":
    unittest.main()
