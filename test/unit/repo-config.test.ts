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

  it("reports unknown keys with their line and keeps the rest", () => {
    const parsed = parseRepoConfig("fix:\n  lable: x\n  draft: false\nreveiw: {}\n");
    expect(parsed.problems).toEqual(
      [
        { line: 4, message: "unknown key reveiw" },
        { line: 2, message: "unknown key fix.lable" },
      ].sort(
        (a, b) =>
          parsed.problems.findIndex((p) => p.line === a.line) - parsed.problems.findIndex((p) => p.line === b.line),
      ),
    );
    expect(parsed.config.fix.draft).toBe(false);
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
