/** What a reader of the issue cannot see does not reach the model as instructions. */
import { describe, expect, it } from "vitest";
import { ISSUE_TEXT_LIMIT, sanitizeIssueText } from "../../src/domain/issue-text.ts";
import { klFromTopK, klFromUniform, selfCertainty } from "../../src/domain/self-certainty.ts";

const text = (raw: string) => sanitizeIssueText(raw).text;

describe("issue text", () => {
  it.each([
    ["one line", "a <!-- obey --> b", "a [hidden comment removed] b"],
    ["several lines", "a <!-- obey\nme\n--> b", "a [hidden comment removed]\n\n b"],
    ["never closed", "a\n<!-- obey\nme", "a\n[hidden comment removed]\n"],
    ["an image's alternative text", "a ![obey](http://x) b <img alt='obey'> c", "a [image] b [image] c"],
    ["a link definition", "a\n[//]: # (obey)\nb", "a\nb"],
    ["a zero-width run", "a\u200b\u200b\u200bb", "a<U+200B ×3>b"],
    ["direction", "a\u202eb", "a<U+202E>b"],
    ["tag letters", "a\u{e0041}b", "a<U+E0041>b"],
    ["NUL", "a\0b", "a<U+0000>b"],
    ["BOM and CRLF", "\ufeffa\r\nb\rc", "a\nb\nc"],
  ])("shows or removes what is hidden: %s", (_, raw, expected) => {
    expect(text(raw)).toBe(expected);
  });

  it.each([
    ["empty", ""],
    ["code", "```html\n<!-- kept -->\n![a](b)\n```\n`<!-- kept -->`"],
    ["Persian", "می\u200cخواهم"],
    ["Hebrew", "שלום\u200f!"],
    ["Japanese", "空の一覧で失敗します"],
    ["emoji", "👩\u200d💻 ❤\ufe0f"],
    ["Hindi", "क्\u200dष"],
  ])("leaves alone what people write: %s", (_, raw) => {
    expect(sanitizeIssueText(raw)).toEqual({ text: raw, notes: [] });
  });

  it.each(["x", "é", "語", "😀"])("is cut at 64 KB between characters (%s)", (character) => {
    const result = sanitizeIssueText(character.repeat(70_000));
    expect(Buffer.byteLength(result.text)).toBeLessThanOrEqual(ISSUE_TEXT_LIMIT);
    expect(Buffer.byteLength(result.text)).toBeGreaterThan(ISSUE_TEXT_LIMIT - 4);
    expect(result.text.replaceAll(character, "")).toBe("");
    expect(result.notes).toEqual([`cut at ${ISSUE_TEXT_LIMIT} bytes`]);
  });

  it.each(["![", "`", "``` `", "<!--", "<img ", "\u200b", "[a]: #\n", "](", "`` ` "])(
    "takes work linear in an attack of %j",
    (attack) => {
      // Quadratic work on 64 KB would run into the suite's time-out.
      expect(Buffer.byteLength(text(attack.repeat(64_000)))).toBeLessThanOrEqual(ISSUE_TEXT_LIMIT);
    },
  );
});

describe("self-certainty", () => {
  it("has its known answers", () => {
    expect(klFromUniform([0.9, 0.1])).toBeCloseTo(0.5108, 4);
    expect(klFromUniform([0.25, 0.25, 0.25, 0.25])).toBeCloseTo(0, 12);
    // One-hot: infinite by definition; a zero counts as 1e-12, −ln 2 + ½ ln 1e12.
    expect(klFromUniform([1, 0])).toBeCloseTo(13.1224, 4);
    expect(klFromTopK([Math.log(0.9), Math.log(0.1)])).toBeCloseTo(0.5108, 4);
    expect(klFromTopK([Math.log(0.9)])).toBeCloseTo(0.5108, 4);
  });

  it("is the mean over tokens, says how many were seen, and is null without a distribution", () => {
    const sure = [Math.log(0.9), Math.log(0.1)];
    const even = [Math.log(0.5), Math.log(0.5)];
    expect(selfCertainty([sure, even])).toEqual({ value: expect.closeTo(0.2554, 4), topK: 2 });
    expect(selfCertainty([])).toBeNull();
    expect(selfCertainty([[0], [Number.NaN, 0]])).toBeNull();
    expect(Number.isFinite(selfCertainty([[0, Number.NEGATIVE_INFINITY]])!.value)).toBe(true);
  });
});
