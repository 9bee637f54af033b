/** `demo --story review`: what it prints is what stands on the page, whatever the model makes of the defect. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { reviewStory } from "../../src/demo-review.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

it("a person's pull request with a planted defect is reviewed function by function, and nothing else is posted", async () => {
  process.env["MODEL_DIR"] = join(ROOT, "test/fixtures/models/tiny");
  const said: string[] = [];
  const { text, json, broken } = await reviewStory({
    verbose: false,
    progress: (line) => said.push(line),
    hold: async (shown) => {
      const page = await (await fetch(/Open (\S+)/.exec(shown)![1]!)).text();
      expect(page).toContain("Weeks, and runs that start at an offset");
      expect(page).toContain("next_run");
    },
  });
  expect(broken).toBeNull();
  const result = json as {
    functions: { rank: string; name: string; change: string }[];
    planted: { name: string; rank: number };
    checkRun: { conclusion: string };
    reviewComments: number;
    page: string;
  };
  expect(result.functions.map((one) => `${one.change} ${one.name}`).sort()).toEqual([
    "added tidytime/schedule.py: runs_between",
    "modified tidytime/format.py: join_parts",
    "modified tidytime/parse.py: span",
    "modified tidytime/schedule.py: next_run",
    "modified tidytime/schedule.py: remaining",
    "modified tidytime/units.py: unit_of",
  ]);
  expect(result.planted).toMatchObject({ name: "next_run", rank: expect.any(Number) });
  expect(text).toContain(`has rank ${result.planted.rank} of 6`);
  // An uncalibrated model turns nothing green and comments on nothing.
  expect([result.checkRun.conclusion, result.reviewComments]).toEqual(["neutral", 0]);
  expect(readFileSync(result.page, "utf8")).toContain("next_run");
  expect(said.at(-1)).toMatch(/^ada opens pull request #\d+/);
});
