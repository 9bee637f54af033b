/** What an issue names comes first, tests come last, and the prompt stays inside its budget. */
import { describe, expect, it } from "vitest";
import { createSyntax } from "../../src/adapters/tree-sitter/create-syntax.ts";
import { locate, relevantCode, type SourceFile } from "../../src/domain/relevance.ts";

const syntax = await createSyntax();
const file = (path: string, text: string): SourceFile => ({ path, text, outline: syntax.outline(text, "python") });

const files = [
  file(
    "shop/cart.py",
    'import math\nfrom shop import tax\n\n\nclass Cart:\n    def total(self):\n        """Sum of all items."""\n        return tax.add_tax(sum(self.items))\n\n    def empty(self):\n        self.items = []\n',
  ),
  file(
    "shop/tax.py",
    'RATE = 0.2\n\n\ndef add_tax(amount):\n    """Amount with value added tax."""\n    return amount * RATE\n',
  ),
  file("shop/mail.py", 'def send_invoice(customer):\n    """Send the invoice to a customer."""\n    return customer\n'),
  file("tests/test_cart.py", "def test_total():\n    assert Cart().total() == 0\n"),
];
const first = (title: string, body = "") => {
  const [best] = locate(files, { title, body }).located;
  return best && `${best.path}::${best.name}`;
};

describe("locate", () => {
  it.each([
    ["`add_tax` returns too little", "shop/tax.py::add_tax"],
    ["The customer gets the invoice twice", "shop/mail.py::send_invoice"],
    ["Cart.empty() keeps old items", "shop/cart.py::Cart.empty"],
    ["value added tax is wrong in every amount", "shop/tax.py::add_tax"],
  ])("%s", (title, expected) => {
    expect(first(title)).toBe(expected);
  });

  it("puts the innermost frame of a traceback that lies in the repository first", () => {
    const body =
      'Traceback (most recent call last):\n  File "/srv/app/shop/cart.py", line 8, in total\n    return x\nKeyError';
    expect(first("It crashes", body)).toBe("shop/cart.py::Cart.total");
  });

  it("ranks tests below what they test, and what shares no word not at all", () => {
    const { located } = locate(files, { title: "total of the cart is wrong", body: "" });
    const paths = located.map((one) => one.path);
    expect(paths.indexOf("shop/cart.py")).toBeLessThan(paths.indexOf("tests/test_cart.py"));
    expect(paths).not.toContain("shop/mail.py");
    for (const one of located) expect(one.why.length).toBeGreaterThan(0);
  });

  it("lifts what a strong match calls", () => {
    const { located } = locate(files, { title: "`Cart.total` is wrong", body: "" });
    expect(located.map((one) => one.name)).toContain("add_tax");
  });

  it("finds nothing in a repository without Python, or for an issue without words", () => {
    expect(locate([], { title: "total is wrong", body: "" })).toEqual({ located: [], named: null });
    expect(locate(files, { title: "", body: "\u0000 ``` 🙂" }).located).toEqual([]);
  });

  it("gives the same ranking whatever the order of the files", () => {
    const issue = { title: "cart total with tax", body: "items of a customer" };
    expect(locate([...files].reverse(), issue).located).toEqual(locate(files, issue).located);
  });
});

describe("relevantCode", () => {
  const { located } = locate(files, { title: "`Cart.total` is wrong", body: "tax amount" });

  it("shows bodies of the best, outlines of their neighbours, imports of their files, no tests", () => {
    const code = relevantCode(files, located, 2_000);
    expect(code.functions[0]).toEqual({
      path: "shop/cart.py",
      name: "Cart.total",
      source: 'def total(self):\n    """Sum of all items."""\n    return tax.add_tax(sum(self.items))',
    });
    expect(code.headers).toContainEqual({ path: "shop/cart.py", imports: "import math\nfrom shop import tax" });
    expect(JSON.stringify(code)).not.toContain("tests/");
  });

  it.each([0, 20, 60, 200])("stays inside %i tokens", (budget) => {
    const code = relevantCode(files, located, budget);
    const text = [
      ...code.functions.map((one) => one.source),
      ...code.outlines.flatMap((one) => [one.signature, one.summary]),
      ...code.headers.map((one) => one.imports),
    ].join("");
    expect(text.length / 3.5).toBeLessThanOrEqual(budget);
  });
});
