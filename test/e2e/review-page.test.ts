/** Comments of a review as a person sees them, in a real browser: on a desk and on a phone. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { calibrationOf, fitReviewCalibration } from "../../src/domain/review-calibration.ts";
import { startReviewWorld } from "../fakes/review-world.ts";

/** Folder for the pictures; none are kept unless it is named. */
const PICTURES = process.env["FUNPRM_PICTURES"];
const LONG_NAME = "a_function_with_a_name_that_is_longer_than_any_line_on_a_telephone_could_ever_hold";

let world: Awaited<ReturnType<typeof startReviewWorld>>;
let browser: Browser;
let url: string;
beforeAll(async () => {
  world = await startReviewWorld("review: { max_inline: 5 }\n");
  const fn = (name: string, body: string) =>
    `def ${name}(tokens, index):\n    """Reads one value at the index."""\n    if index >= len(tokens):\n        return None\n    return ${body}\n`;
  const file = (bug: string) =>
    [fn("parse", `tokens[index]${bug}`), fn(LONG_NAME, `tokens[index + 1]${bug}`), fn("kept", "tokens")].join("\n\n");
  await world.push({ "src/deep/folder/reader.py": file("") }, "main");
  await world.push({ "src/deep/folder/reader.py": file(" - BUG") });
  // Labels of this repository: the comment shows an estimate with its bucket.
  const labels = Array.from({ length: 200 }, (_, k) => ({
    ...{ score: k / 200, correct: k % 10 < k / 22, repositoryId: world.ref.repositoryId },
    ...{ language: "python" as const, modelVersion: "fake@0" },
  }));
  const fitted = fitReviewCalibration(labels, labels[0]!)!;
  const stored = await world.database.reviews.saveCalibration(fitted);
  expect(calibrationOf(stored, 0.6).estimate(0.25).probability).toBeLessThan(0.4);
  const number = await world.open({ title: "Read one value", body: "Reads it." });
  await world.review(number);
  url = `${world.github.url}/team/code/pull/${number}`;
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await world.stop();
});

describe("a reviewed pull request in a browser", () => {
  it.each([
    ["desk", 1280, "light"],
    ["phone", 390, "light"],
    ["phone-dark", 390, "dark"],
  ] as const)(
    "%s: short comments under their lines, evidence folded, nothing wider than the screen",
    async (name, width, colorScheme) => {
      const page = await browser.newPage({ viewport: { width, height: 844 }, colorScheme });
      const outside: string[] = [];
      page.on("request", (request) => {
        if (!request.url().startsWith(world.github.url)) outside.push(request.url());
      });
      await page.goto(url);
      if (PICTURES !== undefined) {
        mkdirSync(PICTURES, { recursive: true });
        await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
      }
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
      const comments = page.locator(".inline .box");
      expect(await comments.count()).toBe(2);
      const [text, shown] = [await comments.first().innerText(), await comments.first().boundingBox()];
      expect(text).toMatch(
        /Low reward · parse — estimated chance it is correct: \d+ % \(bucket \d+–\d+ %: \d+ of \d+ past functions were wrong in this repo/,
      );
      expect(text).not.toMatch(/funprm:fn|<sub>|\*\*|<details>/);
      // About a dozen lines of text, the evidence folded away.
      expect(shown!.height).toBeLessThan(name === "desk" ? 260 : 420);
      expect(await comments.first().locator("details[open]").count()).toBe(0);
      expect(await comments.first().locator("details").count()).toBe(1);
      await comments.first().locator("summary").click();
      expect(await comments.first().innerText()).toContain("Reward against base");
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
      if (PICTURES !== undefined) await comments.first().screenshot({ path: join(PICTURES, `${name}-comment.png`) });
      expect(outside).toEqual([]);
      await page.close();
    },
    60_000,
  );
});
