import { Document, visit } from 'yaml';
import { isPrintable, printable } from './problem.ts';

// Blanks that a block of lines (|) cannot show, or that the library does not write so that they are read back.
const BLANK_EDGES = /^\s|[ \t]$|[ \t]\n|\n\n$/;

/**
 * Plain data as YAML, fields in the order that they have. Our reader reads the same from it, and so does a reader of YAML
 * 1.1 such as kubectl: what that would take for a number, a date or a yes is put in quotes. What a terminal would act on
 * is escaped.
 */
export function yamlText(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false, compat: 'yaml-1.1' });
  visit(document, {
    Scalar(_key, node) {
      if (typeof node.value !== 'string') return;
      if (BLANK_EDGES.test(node.value) || !isPrintable(node.value)) node.type = 'QUOTE_DOUBLE';
    },
  });
  // The library escapes only some of these; now that all of them stand in double quotes, one escape fits all.
  const lines = document.toString({ lineWidth: 0, doubleQuotedAsJSON: true }).split('\n');
  return lines.map(printable).join('\n');
}
