import { createTwoFilesPatch, FILE_HEADERS_ONLY } from 'diff';
import { toYaml } from '../job/document.ts';
import type { LayerContent } from '../job/goal.ts';
import type { JobName } from '../job/ids.ts';
import { printable } from '../job/problem.ts';
import { asJson, untilText } from './layer-words.ts';
import { toYamlText } from './output.ts';

/** Contents of layers as text that can be compared line by line. Pure. */

const CONTEXT_LINES = 3;

/** A name in the head of a diff that stands for nothing. */
export const NOTHING = '/dev/null';

const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');

/** What a layer says; empty where it says nothing. */
export function contentText(job: JobName, content: LayerContent | null): string {
  switch (content?.kind) {
    case 'spec':
      return toYaml({ ...job, spec: content.spec });
    case 'patch': {
      const until = content.layer === 'oncall' ? `# ${untilText(content.until)}\n` : '';
      return until + printableLines(toYamlText(asJson(content.patch)));
    }
    default:
      return '';
  }
}

/** A unified diff; empty when both are equal. */
export function unifiedDiff(
  before: { readonly name: string; readonly text: string },
  after: { readonly name: string; readonly text: string },
): string {
  if (before.text === after.text) return '';
  const [left, right] = [printable(before.name), printable(after.name)];
  return createTwoFilesPatch(left, right, before.text, after.text, undefined, undefined, {
    context: CONTEXT_LINES,
    headerOptions: FILE_HEADERS_ONLY,
  });
}
