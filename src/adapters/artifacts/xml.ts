/** XML of somebody's CI, piece by piece: nothing is fetched or expanded, and what is not well formed is refused. */
import { SaxesParser, type SaxesTagPlain } from "saxes";

export type XmlHandler = {
  open(name: string, attributes: Record<string, string>, depth: number): void;
  text(text: string): void;
  close(name: string, depth: number): void;
};

const DEEPEST = 64;

/**
 * saxes knows the five entities that XML has and fetches nothing. A document type may only name one (`allowDoctype`: Cobertura's
 * reports do), never declare: entities are how XML is made to grow or to read files.
 */
export async function readXml(
  chunks: AsyncIterable<string>,
  handler: XmlHandler,
  { allowDoctype }: { allowDoctype: boolean },
): Promise<void> {
  const parser = new SaxesParser({ xmlns: false });
  let depth = 0;
  parser.on("error", (error) => {
    throw error;
  });
  parser.on("doctype", (text) => {
    if (!allowDoctype || text.includes("[")) throw new Error("it has a document type that could declare entities");
  });
  parser.on("opentag", (tag: SaxesTagPlain) => {
    depth += 1;
    if (depth > DEEPEST) throw new Error(`nested deeper than ${DEEPEST}`);
    handler.open(tag.name, tag.attributes, depth);
  });
  parser.on("text", (text) => handler.text(text));
  parser.on("cdata", (text) => handler.text(text));
  parser.on("closetag", (tag: SaxesTagPlain) => {
    handler.close(tag.name, depth);
    depth -= 1;
  });
  for await (const chunk of chunks) parser.write(chunk);
  parser.close();
}
