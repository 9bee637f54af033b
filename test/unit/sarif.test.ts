/** What `--sarif` prints, held to SARIF 2.1.0 (OASIS): the objects that we write, with every constraint of the standard. */
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ReviewedFunction, ReviewReport } from "../../src/domain/review.ts";
import { sarif } from "../../src/domain/sarif.ts";

const strict = (properties: Record<string, object>, required: string[] = []) => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
});
const text = { type: "string" };
const level = { enum: ["none", "note", "warning", "error"] };
const message = strict({ text, markdown: text, id: text }, ["text"]);
const propertyBag = { type: "object" };
const artifactLocation = strict({ uri: { type: "string", format: "uri-reference" }, uriBaseId: text });
const region = strict(
  Object.fromEntries(["startLine", "endLine"].map((name) => [name, { type: "integer", minimum: 1 }])),
  ["startLine"],
);
const physicalLocation = strict({ artifactLocation, region }, ["artifactLocation"]);
const logicalLocation = strict({ name: text, fullyQualifiedName: text, kind: text });
const location = strict({
  physicalLocation,
  logicalLocations: { type: "array", uniqueItems: true, items: logicalLocation },
});
const notification = strict({ message, level, locations: { type: "array", uniqueItems: true, items: location } }, [
  "message",
]);
const rule = strict(
  {
    id: text,
    name: text,
    shortDescription: message,
    fullDescription: message,
    defaultConfiguration: strict({ level }),
  },
  ["id"],
);
const result = strict(
  {
    ruleId: text,
    ruleIndex: { type: "integer", minimum: -1 },
    level,
    message,
    locations: { type: "array", items: location },
    partialFingerprints: { type: "object", additionalProperties: text },
    properties: propertyBag,
  },
  ["message"],
);
const driver = strict(
  {
    name: text,
    semanticVersion: { type: "string", pattern: "^\\d+\\.\\d+\\.\\d+" },
    rules: { type: "array", uniqueItems: true, items: rule },
  },
  ["name"],
);
const invocation = strict(
  { executionSuccessful: { type: "boolean" }, toolExecutionNotifications: { type: "array", items: notification } },
  ["executionSuccessful"],
);
const run = strict(
  {
    tool: strict({ driver }, ["driver"]),
    columnKind: { enum: ["utf16CodeUnits", "unicodeCodePoints"] },
    invocations: { type: "array", items: invocation },
    properties: propertyBag,
    results: { type: "array", items: result },
  },
  ["tool"],
);
const schema = strict(
  { $schema: { type: "string", format: "uri" }, version: { const: "2.1.0" }, runs: { type: "array", items: run } },
  ["version", "runs"],
);

const ajv = new Ajv({ allErrors: true });
addFormats.default(ajv);
const validate = ajv.compile(schema);

const path = fc.constantFrom("a.py", "odd name%.py", "ü/é 1#2?.py", "a:b.py", "x/../y.py", "\\win.py", "[g].ts");
const reviewed = fc.record({
  path,
  name: fc.constantFrom("f", "K.m", "<module>", "हिन्दी"),
  startLine: fc.integer({ min: 1, max: 9_999 }),
  reward: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
  finding: fc.boolean(),
  estimated: fc.boolean(),
});

it("any review is valid SARIF whose results are its findings, in files that exist under the root", () => {
  fc.assert(
    fc.property(fc.array(reviewed, { maxLength: 6 }), fc.array(path, { maxLength: 3 }), (rows, unread) => {
      const functions = rows.map(
        (one, at) =>
          ({
            ...one,
            endLine: one.startLine + at,
            attribution: one.reward,
            rank: at + 1,
            estimate: one.estimated ? { probability: 0.25, bucket: {} } : null,
            evidence: [{ kind: "before-after", text: "attribution 0.80 on base, 0.20 here" }],
            bodyHash: "0".repeat(64),
          }) as unknown as ReviewedFunction,
      );
      const report = {
        model: { name: "m", version: "1" },
        calibrated: false,
        coverage: { notScored: unread.map((file) => ({ path: file, name: "<file>", reason: "generated" })) },
        ledger: "scored 1/1",
        functions,
      } as unknown as ReviewReport;
      const log = JSON.parse(JSON.stringify(sarif(report, "0.1.0")));
      expect([validate(log), validate.errors]).toEqual([true, null]);
      const { results } = log.runs[0];
      expect(results).toHaveLength(rows.filter((one) => one.finding).length);
      for (const { locations } of results) {
        const { uri } = locations[0].physicalLocation.artifactLocation;
        // A relative reference: nothing in a path may look like a scheme, a query or a fragment.
        expect(new URL(uri, "file:///root/").href).toBe(`file:///root/${uri}`.replace("x/../", ""));
      }
    }),
    { numRuns: 200 },
  );
});
