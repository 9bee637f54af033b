import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Encoded, encode, MIN_PROMPT_TOKENS, pieces, stepTokens } from "../../src/domain/encode.ts";

type IdsVector = {
  name: string;
  prompt: number[];
  completions: number[][];
  stepId: number;
  maxTokens: number;
  expected: Encoded | null;
};
type PiecesVector = { text: string; pieces: string[] };

const vectors = (name: string) =>
  JSON.parse(readFileSync(new URL(`../vectors/encode/${name}.json`, import.meta.url), "utf8"));

describe("encode rule v1", () => {
  test.each<IdsVector>(vectors("ids"))("ids: $name", ({ prompt, completions, stepId, maxTokens, expected }) => {
    expect(encode(prompt, completions, stepId, maxTokens)).toEqual(expected);
  });

  test.each<PiecesVector>(vectors("pieces"))("pieces of $text", ({ text, pieces: expected }) => {
    expect(pieces(text)).toEqual(expected);
  });

  test("pieces joined are the text, and none holds the start of an added token", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("<", "|", ">", "a", " ") }), (text) => {
        expect(pieces(text).join("")).toBe(text);
        expect(pieces(text).some((piece) => piece.includes("<|"))).toBe(false);
      }),
    );
  });

  test("never longer than the window, never drops code, keeps at least 64 tokens of a long prompt", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 10, max: 99 }), { maxLength: 400 }),
        fc.array(fc.array(fc.integer({ min: 100, max: 199 }), { maxLength: 60 }), { maxLength: 5 }),
        fc.integer({ min: 128, max: 256 }),
        (prompt, completions, maxTokens) => {
          const encoded = encode(prompt, completions, 1, maxTokens);
          const steps = stepTokens(completions);
          if (encoded === null) {
            expect(maxTokens - steps).toBeLessThan(Math.min(prompt.length, MIN_PROMPT_TOKENS));
            return;
          }
          expect(encoded.ids.length).toBeLessThanOrEqual(maxTokens);
          expect(encoded.ids.slice(encoded.ids.length - steps)).toEqual(completions.flatMap((ids) => [...ids, 1]));
          expect(encoded.ids.length - steps + encoded.truncatedTokens).toBe(prompt.length);
          expect(encoded.stepPositions.every((at) => encoded.ids[at] === 1)).toBe(true);
        },
      ),
    );
  });
});
