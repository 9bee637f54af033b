import { describe, expect, it } from "vitest";
import { parseRepoConfig } from "../../src/config/repo-config.ts";
import { DEFAULT_REPO_CONFIG, describeConfig } from "../../src/domain/repo-config.ts";

describe("repository configuration", () => {
  it("is the defaults without a file, and with an empty one", () => {
    for (const text of [null, "", "# nothing\n"]) expect(parseRepoConfig(text).config).toEqual(DEFAULT_REPO_CONFIG);
  });

  it("changes only what the file gives, and knows where each value comes from", () => {
    const parsed = parseRepoConfig(
      "version: 1\nfix:\n  candidates: { max: 4 }\ntests: { runner: sandbox, command: [make, test] }\n",
    );
    expect(parsed.config.fix).toEqual({ ...DEFAULT_REPO_CONFIG.fix, candidates: { max: 4 } });
    expect(parsed.config.tests.command).toEqual(["make", "test"]);
    const rows = new Map(describeConfig(parsed).map((row) => [row.key, row.origin]));
    expect(rows.get("fix.candidates.max")).toBe("repository");
    expect(rows.get("fix.draft")).toBe("default");
  });

  it("reports unknown keys with their line and what is known in their place, and keeps the rest", () => {
    const parsed = parseRepoConfig("fix:\n  lable: x\n  draft: false\nreveiw: {}\n");
    expect(parsed.problems.map(({ line, message }) => `${line} ${message}`).sort()).toEqual([
      expect.stringMatching(/^2 unknown key fix\.lable; known there: enabled, label, /),
      expect.stringMatching(/^4 unknown key reveiw; known there: version, fix, review, /),
    ]);
    expect(parsed.config.fix.draft).toBe(false);
  });

  it("reads settings of paths; one that holds for whole pull requests says so, a wrong value is refused at its line", () => {
    const text = [
      "paths:",
      "  - match: core/**",
      "    review: { max_inline: 2, min_precision: 0.9, rounds: 1 }",
      "    check: { fail_on: finding }",
      "  - match: old/**",
      "    review:",
      "      on_push: false",
      "      max_inlin: 3",
      "    check: { neutral_as: neutral }",
      "    llm: { model: x }",
    ].join("\n");
    const { config, problems } = parseRepoConfig(text);
    expect(config.paths).toEqual([
      {
        match: "core/**",
        review: { max_inline: 2, min_precision: 0.9, rounds: 1 },
        check: { fail_on: "finding" },
      },
      { match: "old/**", review: {}, check: {} },
    ]);
    expect(problems.sort((a, b) => a.line - b.line)).toEqual([
      {
        line: 7,
        message:
          "unknown key paths.1.review.on_push: review.on_push holds for whole pull requests, set it outside paths",
      },
      {
        line: 8,
        message: "unknown key paths.1.review.max_inlin; known there: max_inline, min_precision, rounds",
      },
      {
        line: 9,
        message:
          "unknown key paths.1.check.neutral_as: check.neutral_as holds for whole pull requests, set it outside paths",
      },
      { line: 10, message: "unknown key paths.1.llm; known there: match, review, check" },
    ]);
    expect(() => parseRepoConfig("paths:\n  - match: a\n    review:\n      rounds: -1\n")).toThrow(
      /line 4: paths\.0\.review\.rounds/,
    );
  });

  it.each([
    ["fix: [", 1],
    ["fix:\n  draft: maybe\n", 2],
    ["version: 2\n", 1],
    ["a: 1\na: 2\n", 2],
    ["- 1\n", 1],
    ["just text", 1],
    ["fix:\n  candidates:\n    max: 900\n", 3],
    ["pr:\n  title: fixed\n", 2],
    ["fix:\n  label: &a x\nllm:\n  model: *a\n", 1],
    [`x: "${"y".repeat(70_000)}"`, 1],
  ])("refuses %j with one line that names the line", (text, line) => {
    try {
      parseRepoConfig(text);
      expect.unreachable();
    } catch (error) {
      const message = (error as Error).message;
      expect(message).not.toContain("\n");
      if (!text.includes("&a")) expect(message).toContain(`line ${line}:`);
    }
  });
});
