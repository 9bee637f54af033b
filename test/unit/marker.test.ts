import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { looksMarked, readMarker, signMarker } from "../../src/domain/marker.ts";

const place = { repositoryId: 42, number: 7 };
const fieldValues = fc.dictionary(
  fc.stringMatching(/^[a-z][a-zA-Z0-9_]{0,5}$/).filter((key) => key !== "sig"),
  fc.string({ unit: "binary", maxLength: 40 }),
  { maxKeys: 4 },
);

describe("marker", () => {
  it("gives back any value, at the start of any body", () => {
    fc.assert(
      fc.property(fieldValues, fc.string(), (fields, rest) => {
        const line = signMarker("key", { kind: "fn", fields }, place);
        const read = readMarker("key", `${line}\n${rest}`, place);
        const wellFormed = Object.entries(fields).map(([name, value]) => [name, value.toWellFormed()]);
        expect(read?.kind).toBe("fn");
        expect(Object.entries(read!.fields)).toEqual(wellFormed);
      }),
    );
  });

  it("cannot be closed by a value, and stays one line", () => {
    fc.assert(
      fc.property(fieldValues, (fields) => {
        const line = signMarker("key", { kind: "fn", fields }, place);
        expect(line.indexOf("-->")).toBe(line.length - 3);
        expect(line).not.toMatch(/[\r\n]/);
      }),
    );
    const line = signMarker("key", { kind: "fn", fields: { id: "--> <img>\n" } }, place);
    expect(line).toMatch(/^<!-- funprm:fn v1 id=--%3E%20%3Cimg%3E%0A sig=[0-9a-f]{16} -->$/);
  });

  it("is a user's text with another key, place, kind or value", () => {
    const line = signMarker("key", { kind: "sticky", fields: { run: "01J", issue: "7" } }, place);
    expect(readMarker("key", line, place)).toEqual({ kind: "sticky", fields: { run: "01J", issue: "7" } });
    expect(readMarker("other", line, place)).toBeNull();
    expect(readMarker("key", line, { ...place, number: 8 })).toBeNull();
    expect(readMarker("key", line, { ...place, repositoryId: 43 })).toBeNull();
    expect(readMarker("key", line.replace("sticky", "review"), place)).toBeNull();
    expect(readMarker("key", line.replace("run=01J", "run=01K"), place)).toBeNull();
    expect(readMarker("key", line.replace(/sig=\w{4}/, "sig=0000"), place)).toBeNull();
    expect(readMarker("key", ` ${line}`, place)).toBeNull();
    expect(readMarker("key", "<!-- funprm:sticky v1 run=01J -->", place)).toBeNull();
  });

  it("is recognised enough to ignore a body, signed or not", () => {
    expect(looksMarked("\n<!-- funprm:sticky v2 -->")).toBe(true);
    expect(looksMarked("see <!-- funprm:sticky v1 -->")).toBe(false);
  });
});
