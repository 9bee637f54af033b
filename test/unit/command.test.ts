import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseCommand } from "../../src/domain/command.ts";

describe("parseCommand", () => {
  it.each([
    ["/funprm stop", { verb: "stop" }],
    ["@funprm Retry", { verb: "retry" }],
    ["/FunPRM HELP please", { verb: "help" }],
    ["/funprm", { verb: "help" }],
    ["/funprm report", { verb: "report" }],
    ["thanks!\r\n\r\n  /funprm config\r\n", { verb: "config" }],
    ["/funprm fix", { verb: "fix", options: {} }],
    ["/funprm fix n=4 budget=1.50 path=src/**", { verb: "fix", options: { n: 4, budget: 1.5, path: "src/**" } }],
    ["> quoted\n\n/funprm stop", { verb: "stop" }],
    ["```\ncode\n```\n/funprm stop", { verb: "stop" }],
    ["<!-- a template -->\n/funprm stop", { verb: "stop" }],
    ["/funprm stop\n/funprm help", { verb: "stop" }],
  ])("reads %j", (body, command) => {
    expect(parseCommand(body)).toEqual(command);
  });

  it.each([
    "please /funprm stop",
    "/funprmstop",
    "@funprm-bot stop",
    "`/funprm stop`",
    "```\n/funprm stop\n```",
    "```\n/funprm stop",
    "~~~~\n```\n/funprm stop\n~~~\n/funprm stop\n~~~~",
    "> /funprm stop",
    "> quoted\n/funprm stop",
    "    /funprm stop",
    "\t/funprm stop",
    "<!--\n/funprm stop\n-->",
    "",
  ])("finds none in %j", (body) => {
    expect(parseCommand(body)).toBeNull();
  });

  it.each([
    ["/funprm merge", "`merge` is not a command"],
    ["/funprm fix n=0", "whole number from 1 to 64"],
    ["/funprm fix n=1e1", "whole number from 1 to 64"],
    ["/funprm fix budget=-1", "must be dollars"],
    ["/funprm fix path=../etc", "inside the repository"],
    ["/funprm fix now", "is not an option"],
  ])("answers %j with a hint", (body, hint) => {
    const command = parseCommand(body);
    expect(command?.verb).toBe("unknown");
    expect((command as { hint: string }).hint).toContain(hint);
  });

  it("never throws, and a hint carries nothing that mentions, links or leaves its backticks", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (word) => {
        for (const body of [word, `/funprm ${word}`, `/funprm fix ${word}`, `/funprm fix n=${word}`]) {
          const command = parseCommand(body);
          if (command?.verb !== "unknown") continue;
          expect(command.hint).not.toMatch(/[@\n<>[\]]|https?:/);
          expect(command.hint.split("`").length % 2).toBe(1);
        }
      }),
    );
  });
});
