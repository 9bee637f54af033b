/** Who may import whom (architecture.md, rulings 27), no cycles, no folder whose name says nothing. Type imports count. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) return sources(path);
    return path.endsWith(".ts") ? [path] : [];
  });
}

type Import = { file: string; specifier: string; target: string | null; typeOnly: boolean };

function importsOf(path: string): Import[] {
  const file = relative(root, path);
  const found: Import[] = [];
  const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true);
  const add = (specifier: string, typeOnly: boolean) => {
    const target = specifier.startsWith(".") ? normalize(join(dirname(file), specifier)) : null;
    found.push({ file, specifier, target, typeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (
      (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
      node.moduleSpecifier &&
      ts.isStringLiteral(node.moduleSpecifier)
    ) {
      const typeOnly = ts.isImportDeclaration(node)
        ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
        : node.isTypeOnly;
      add(node.moduleSpecifier.text, typeOnly);
    } else if (
      ts.isCallExpression(node) &&
      node.expression.kind === ts.SyntaxKind.ImportKeyword &&
      node.arguments[0] &&
      ts.isStringLiteral(node.arguments[0])
    ) {
      add(node.arguments[0].text, false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const imports = sources(join(root, "src")).flatMap(importsOf);

const ADAPTER_PACKAGES: Record<string, RegExp> = {
  github: /^(@octokit\/.+)$/,
  artifacts: /^(yauzl|saxes)$/,
  openai: /^openai(\/.+)?$/,
  onnx: /^(onnxruntime-node|@huggingface\/tokenizers)$/,
  "tree-sitter": /^(tree-sitter|web-tree-sitter|tree-sitter-\w+)(\/.+)?$/,
  db: /^$/,
  system: /^pino$/,
  sandbox: /^$/,
  workspace: /^$/,
  files: /^$/,
  replay: /^$/,
  pool: /^$/,
  trainer: /^$/,
  worker: /^$/,
};

const inside = (target: string, ...folders: string[]) =>
  folders.some((folder) => target === folder || target.startsWith(`${folder}/`));

/** Why an import breaks the rules; null when it does not. */
function violation({ file, specifier, target, typeOnly }: Import): string | null {
  const builtin = specifier.startsWith("node:");
  const [, layer, name] = file.split("/");
  const only = (ok: boolean) => (ok ? null : `${file} must not import ${specifier}`);
  if (inside(file, "src/domain")) return only(target ? inside(target, "src/domain") : specifier === "node:crypto");
  if (file === "src/ports.ts") return only(target !== null && inside(target, "src/domain") && typeOnly);
  if (layer === "flows" || layer === "evaluation") {
    if (target === "src/ports.ts") return only(typeOnly);
    return only(
      target ? inside(target, "src/domain", "src/flows", "src/evaluation") : builtin && specifier === "node:crypto",
    );
  }
  if (layer === "wire") return only(target ? inside(target, "src/wire") : specifier === "zod");
  if (layer === "adapters") {
    if (target) return only(inside(target, "src/domain", "src/ports.ts", "src/wire", `src/adapters/${name}`));
    const packages = ADAPTER_PACKAGES[name ?? ""];
    if (!packages) return `src/adapters/${name}: say in ADAPTER_PACKAGES which packages its one outside thing has`;
    return only(builtin || packages.test(specifier));
  }
  if (layer === "config")
    return only(target ? inside(target, "src/domain", "src/config") : builtin || /^(zod|yaml)$/.test(specifier));
  if (layer === "fake-github") return only(target ? inside(target, "src/fake-github") : true);
  if (layer === "app")
    return only(
      target
        ? inside(target, "src/flows", "src/evaluation", "src/domain", "src/ports.ts", "src/app")
        : builtin || /^(hono(\/.+)?|@hono\/node-server|probot(\/.+)?|@octokit\/webhooks-types)$/.test(specifier),
    );
  if (inside(file, "src/cli/commands") || file === "src/cli/context.ts") {
    return only(
      target
        ? inside(target, "src/flows", "src/evaluation", "src/domain", "src/ports.ts", "src/cli")
        : builtin || /^(commander|cli-table3)$/.test(specifier),
    );
  }
  return null; // compose.ts, index.ts, main.ts, cli/main.ts see everything
}

describe("architecture", () => {
  it("has only imports that the table allows", () => {
    expect(imports.map(violation).filter((reason) => reason !== null)).toEqual([]);
  });

  it("imports the fake GitHub only where the demo is composed", () => {
    const users = imports.filter(
      (edge) => edge.target && inside(edge.target, "src/fake-github") && !inside(edge.file, "src/fake-github"),
    );
    expect(users.map((edge) => edge.file).filter((file) => file !== "src/compose.ts")).toEqual([]);
  });

  it("reads process.env only in config/env.ts", () => {
    const readers = sources(join(root, "src"))
      .map((path) => relative(root, path))
      .filter(
        (file) => !inside(file, "src/fake-github") && /process\.env\b/.test(readFileSync(join(root, file), "utf8")),
      );
    expect(readers.filter((file) => file !== "src/config/env.ts")).toEqual([]);
  });

  it("has no import cycle", () => {
    const edges = new Map<string, string[]>();
    for (const { file, target } of imports) if (target) edges.set(file, [...(edges.get(file) ?? []), target]);
    const state = new Map<string, "open" | "closed">();
    const cycles: string[] = [];
    const visit = (file: string, path: string[]): void => {
      if (state.get(file) === "closed") return;
      if (state.get(file) === "open") {
        cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
        return;
      }
      state.set(file, "open");
      for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
      state.set(file, "closed");
    };
    for (const file of edges.keys()) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it("has no folder whose name says nothing", () => {
    const folders = new Set(
      sources(join(root, "src"))
        .map((path) => dirname(relative(root, path)))
        .flatMap((folder) => folder.split("/")),
    );
    expect([...folders].filter((name) => /^(utils?|helpers?|common|lib|misc)$/.test(name))).toEqual([]);
  });
});
