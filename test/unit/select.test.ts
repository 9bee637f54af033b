import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { consensus, similarity, trigrams } from "../../src/domain/consensus.ts";
import { UNKNOWN } from "../../src/domain/reliability.ts";
import { type Contender, rank, type SelectOptions, select } from "../../src/domain/select.ts";

const contender = (index: number, change: Partial<Contender> = {}): Contender => ({
  index,
  score: 0.5,
  text: "return a + b",
  multiplicity: 1,
  steps: 2,
  touches: ["pkg/a.py::f"],
  tests: null,
  examples: null,
  written: null,
  knockout: null,
  ...change,
});
const options: SelectOptions = {
  rule: "consensus",
  scorer: "reward",
  seed: 7,
  sampled: 4,
  rejections: [],
  named: null,
  demanded: false,
  belief: UNKNOWN,
};

describe("consensus", () => {
  it("names the medoid, not the longest or the first", () => {
    const texts = ["x = y * 3 ; return x", "return a + b", "return a + b  # sum", "return a + c"];
    const values = consensus(texts);
    expect(values.indexOf(Math.max(...values))).toBe(1);
  });

  it("is 1 for identical texts and for one alone, 0 without a shared trigram", () => {
    expect(consensus(["a b c d", "a b c d"])).toEqual([1, 1]);
    expect(consensus(["a b c d"])).toEqual([1]);
    expect(consensus(["a b c", "x y z"])).toEqual([0, 0]);
  });

  it("counts a repeated sample like the same text given twice", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[abc ]{0,12}$/), { minLength: 2, maxLength: 5 }), (texts) => {
        const doubled = consensus([texts[0]!, ...texts]);
        const weighted = consensus(
          texts,
          texts.map((_, i) => (i === 0 ? 2 : 1)),
        );
        expect(weighted[0]).toBeCloseTo(doubled[0]!, 12);
        expect(weighted[1]).toBeCloseTo(doubled[2]!, 12);
      }),
    );
  });

  it("has a similarity that is symmetric and does not see white space", () => {
    expect(similarity(trigrams("f(a,  b)"), trigrams("f(a,\n b)"))).toBe(1);
    expect(similarity(trigrams("a b c d"), trigrams("b c d e"))).toBe(
      similarity(trigrams("b c d e"), trigrams("a b c d")),
    );
    expect(similarity(trigrams("a b c d"), trigrams("b c d e"))).toBeCloseTo(1 / 3, 12);
  });
});

describe("select", () => {
  it("prefers the crowd under consensus and the reward under prm-mean", () => {
    const crowd = [contender(0), contender(1), contender(2, { text: "return max ( a , b )", score: 0.9 })];
    expect([0, 1]).toContain(select(crowd, options).selected);
    expect(select(crowd, { ...options, rule: "prm-mean" }).selected).toBe(2);
  });

  it("lets the reward decide between equal consensus", () => {
    expect(select([contender(0, { score: 0.4 }), contender(1, { score: 0.6 })], options).selected).toBe(1);
  });

  it("puts a fixed failing test before every reward and drops what breaks a test", () => {
    const fixed = contender(2, { score: 0.1, text: "z", tests: { broke: [], fixed: ["t::a"] } });
    const broken = contender(3, { score: 0.99, tests: { broke: ["t::b"], fixed: ["t::a", "t::c"] } });
    const picked = select([contender(0, { tests: { broke: [], fixed: [] } }), fixed, broken], options);
    expect(picked.selected).toBe(2);
    expect(picked.ranking.map((row) => row.index)).not.toContain(3);
  });

  it("ranks a candidate without a score last", () => {
    expect(
      rank([contender(0, { score: null }), contender(1, { text: "q", score: 0 })], { ...options, seed: 1 }).at(-1)
        ?.index,
    ).toBe(0);
  });

  it("abstains when nothing survives, all break a test, none agree, or nothing named is touched", () => {
    const reasons = [
      select([], { ...options, rejections: ["does not parse"] }),
      select([contender(0, { tests: { broke: ["t::a"], fixed: [] } })], options),
      select([contender(0, { touches: ["a.py::f"] }), contender(1, { touches: ["a.py::g"] })], options),
      select([contender(0), contender(1)], { ...options, named: new Set(["pkg/b.py"]) }),
    ].map((selection) => selection.abstention?.reason ?? "selected");
    expect(reasons[0]).toContain("does not parse");
    expect(reasons[1]).toContain("t::a");
    expect(reasons[2]).toContain("no two");
    expect(reasons[3]).toContain("nothing that the issue names");
  });

  it("does not abstain for want of agreement when one sample was asked for, or a sample came twice", () => {
    expect(select([contender(0)], { ...options, sampled: 1 }).selected).toBe(0);
    expect(
      select([contender(0, { multiplicity: 2 }), contender(1, { touches: ["a.py::g"] })], options).abstention,
    ).toBeNull();
  });

  it("accepts a change in a file that the issue names", () => {
    expect(select([contender(0), contender(1)], { ...options, named: new Set(["pkg/a.py"]) }).abstention).toBeNull();
  });

  it("puts what passes more of the issue's examples first under every rule, and abstains when a demand is met by nobody", () => {
    const some = (passed: number) => ({ examples: { passed, total: 2 } });
    for (const rule of ["hybrid", "consensus", "prm-mean"] as const) {
      const all = [contender(0, { score: 0.9 }), contender(1, { score: 0.1, text: "other words here", ...some(1) })];
      expect(select(all, { ...options, rule }).selected).toBe(1);
    }
    const unmet = [contender(0, some(0)), contender(1, some(0))];
    expect(select(unmet, { ...options, demanded: true }).abstention?.reason).toContain("issue's own examples");
    expect(select(unmet, options).selected).not.toBeNull();
    const fixed = { tests: { broke: [], fixed: ["t"] } };
    expect(select([contender(0, { ...some(0), ...fixed })], { ...options, demanded: true }).selected).toBe(0);
  });

  it("abstains when the best gives some of what the examples demand, which was never right where it was measured", () => {
    const partly = [1, 1].map((passed, index) => contender(index, { examples: { passed, total: 2 } }));
    expect(select(partly, { ...options, demanded: true }).abstention?.reason).toMatch(
      /1 of the 2 results.*on benchmark/,
    );
    expect(select(partly, options).selected).not.toBeNull();
    const whole = contender(2, { examples: { passed: 2, total: 2 } });
    expect(select([...partly, whole], { ...options, demanded: true }).selected).toBe(2);
    const fixed = { tests: { broke: [], fixed: ["t"] } };
    expect(select([{ ...partly[0]!, ...fixed }], { ...options, demanded: true }).selected).toBe(0);
  });

  it("gives a program of one function no advantage for having fewer steps to lose", () => {
    const chain = contender(0, { score: 0.2, text: "a b c d e" });
    const single = contender(1, { score: 0.9, steps: 1, text: "q w e r t y" });
    const other = contender(2, { score: 0.3, text: "a b c d f" });
    for (const rule of ["hybrid", "prm-mean"] as const)
      expect([rule, select([single, chain, other], { ...options, rule }).selected]).toEqual([rule, 2]);
    // Among their like they are compared by reward as ever.
    expect(select([single, contender(3, { score: 0.1, steps: 1 })], { ...options, rule: "prm-mean" }).selected).toBe(1);
  });

  it("never refuses on a raw reward, however low", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (a, b) => {
        expect(select([contender(0, { score: a }), contender(1, { score: b })], options).selected).not.toBeNull();
      }),
    );
  });

  it("breaks ties by the seed: the same seed the same way, different seeds both ways, whatever the order given", () => {
    const pick = (seed: number, order: number[]) =>
      select(
        order.map((index) => contender(index)),
        { ...options, seed },
      ).selected;
    expect(pick(1, [0, 1, 2])).toBe(pick(1, [2, 0, 1]));
    expect(new Set(Array.from({ length: 50 }, (_, seed) => pick(seed, [0, 1]))).size).toBe(2);
  });

  it("weighs written tests below what people wrote, and before every soft signal but the hybrid rule's sum", () => {
    const written = (passed: number) => ({
      passes: [0, 1].map((t) => t < passed),
      passed,
      total: 2,
      agreement: passed / 2,
    });
    const shown = contender(0, { examples: { passed: 1, total: 1 }, written: written(0) });
    const proved = contender(1, { examples: { passed: 0, total: 1 }, written: written(2), score: 0.9 });
    for (const rule of ["consensus", "prm-mean", "hybrid", "knockout"] as const)
      expect(select([shown, proved], { ...options, rule }).selected).toBe(0);
    const passing = contender(2, { written: written(2), score: 0.1, text: "x" });
    const failing = contender(3, { written: written(0), score: 0.9 });
    const picked = select([passing, failing, contender(4, { written: written(0) })], options);
    expect(picked.selected).toBe(2);
    expect(picked.reason).toContain("passes 2 of the tests that the model wrote");
    // Evidence that ran speaks for a candidate that nobody agrees with.
    const alone = [passing, { ...failing, touches: ["b.py::g"] }];
    expect(select(alone, { ...options, named: new Set(["c.py"]) }).selected).toBe(2);
  });

  it("believes three tests against two of a careful writer, the crowd against those of a careless one, and says so", () => {
    const passing = (index: number, row: number[]) =>
      contender(index, {
        text: `version ${index}`,
        written: { passes: row.map(Boolean), passed: row.filter(Boolean).length, total: row.length, agreement: 0 },
      });
    const all = [...[0, 1, 2, 3].map((index) => passing(index, [1, 1, 0, 0, 0])), passing(4, [0, 0, 1, 1, 1])];
    const written = (at: number) => ({ ...UNKNOWN, wrongTests: UNKNOWN.wrongTests.map((_, i) => Number(i === at)) });
    const careful = select(all, { ...options, rule: "hybrid", belief: written(0) });
    expect([careful.selected, careful.reason]).toEqual([4, expect.stringContaining("passes 3 of the tests")]);
    const careless = select(all, { ...options, rule: "hybrid", belief: written(11) });
    expect(careless.selected).toBeLessThan(4);
    expect(careless.reason).toContain("all evidence together speaks most for it: it passes 2 of the tests");
  });

  it("abstains when every candidate fails every test that the model wrote, unless something that people wrote is met", () => {
    const failing = (index: number, change: Partial<Contender> = {}) =>
      contender(index, { written: { passes: [false], passed: 0, total: 1, agreement: 0 }, ...change });
    for (const rule of ["consensus", "prm-mean", "hybrid", "knockout"] as const) {
      const { selected, abstention } = select([failing(0), failing(1)], { ...options, rule });
      expect([selected, abstention?.reason]).toEqual([
        null,
        "no surviving candidate passes the test that the model wrote from the issue and that fails on base",
      ]);
      const fixed = failing(1, { tests: { broke: [], fixed: ["t"] } });
      expect(select([failing(0), fixed], { ...options, rule }).selected).toBe(1);
      const shown = failing(1, { examples: { passed: 1, total: 1 } });
      expect(select([failing(0), shown], { ...options, rule }).selected).toBe(1);
    }
  });

  it("follows the knockout among equals and says so; without one it is the hybrid rule", () => {
    const equals = [contender(0, { score: 0.9 }), contender(1, { knockout: 1 }), contender(2, { knockout: 0 })];
    const picked = select(equals, { ...options, rule: "knockout" });
    expect([picked.selected, picked.ranking.map(({ index }) => index)]).toEqual([1, [1, 2, 0]]);
    expect(picked.reason).toContain("won the knockout of the 2 leading candidates");
    const fixes = contender(3, { tests: { broke: [], fixed: ["t"] } });
    expect(select([...equals, fixes], { ...options, rule: "knockout" }).selected).toBe(3);
    const none = [contender(0, { score: 0.2 }), contender(1, { score: 0.8 })];
    expect(select(none, { ...options, rule: "knockout" }).selected).toBe(
      select(none, { ...options, rule: "hybrid" }).selected,
    );
  });
});
