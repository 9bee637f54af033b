/** Reads a model bundle folder and refuses what is missing, cut or altered (contracts.md, "Model bundle"). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FunprmError } from "../../domain/errors.ts";
import { sha256 } from "../../domain/ids.ts";
import { RENDER_VERSION } from "../../domain/render.ts";
import { type Manifest, manifestSchema } from "../../wire/manifest.ts";

export type Bundle = { folder: string; manifest: Manifest; model: Uint8Array; tokenizer: object };

/** One line each: `MODEL_MISSING` when a file is not there, `MODEL_REFUSED` when it is not the one it should be. */
export async function readBundle(folder: string): Promise<Bundle> {
  const manifest = parseManifest(folder, await fileOf(folder, "manifest.json"));
  const model = await fileOf(folder, "model.onnx");
  const tokenizer = await fileOf(folder, "tokenizer.json");
  if (manifest.renderVersion !== RENDER_VERSION)
    throw refused(
      folder,
      `trained on render version ${manifest.renderVersion}, this program renders ${RENDER_VERSION}; use a bundle made for it`,
    );
  if (manifest.attention !== "causal")
    throw refused(folder, `attention ${manifest.attention} is not supported; export a causal model`);
  requireHash(folder, "model.onnx", model, manifest.modelSha256);
  requireHash(folder, "tokenizer.json", tokenizer, manifest.tokenizerSha256);
  return { folder, manifest, model, tokenizer: JSON.parse(tokenizer.toString("utf8")) };
}

export function refused(folder: string, why: string, cause?: unknown): FunprmError {
  return new FunprmError("MODEL_REFUSED", `model bundle ${folder}: ${why}`, { cause });
}

async function fileOf(folder: string, name: string): Promise<Buffer> {
  try {
    return await readFile(join(folder, name));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === "ENOENT" || code === "ENOTDIR" ? "is missing" : `cannot be read (${code})`;
    throw new FunprmError(
      "MODEL_MISSING",
      `model bundle ${folder}: ${name} ${why}; give --model the folder of a bundle, or fetch it again with git`,
      { cause: error },
    );
  }
}

function parseManifest(folder: string, bytes: Buffer): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw refused(folder, "manifest.json is not JSON; fetch the bundle again", error);
  }
  const parsed = manifestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw refused(folder, `manifest.json: ${issue.path.map(String).join(".") || "the file"}: ${issue.message}`);
}

function requireHash(folder: string, name: string, bytes: Buffer, expected: string): void {
  const found = sha256(bytes);
  if (found !== expected)
    throw refused(
      folder,
      `${name} has SHA-256 ${found.slice(0, 12)}…, the manifest says ${expected.slice(0, 12)}… (${bytes.length} bytes here); fetch the bundle again`,
    );
}
