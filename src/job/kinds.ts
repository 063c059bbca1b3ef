import { isMap, type Json } from './canonical.ts';
import type { ContentFinding } from './finding.ts';
import { quoted } from './problem.ts';
import { API_VERSION, KIND } from './spec.ts';

export const PLATFORM_KIND = 'Platform';

/** The kinds of documents of ours, and the command that takes each. */
const COMMANDS: Readonly<Record<string, string>> = {
  [KIND]: 'bulkhead apply -f',
  [PLATFORM_KIND]: 'bulkhead platform apply -f',
  Store: 'bulkhead import -f',
  PlatformHistory: 'bulkhead import -f',
  JobHistory: 'bulkhead import -f',
  StoreEnd: 'bulkhead import -f',
};

/**
 * What is said of a document that is no `kind`: that of another of ours belongs to another command, and the fields of
 * something else, such as a Deployment, are no mistakes, only that it is here. Empty where the document may be what is
 * expected.
 */
export function foreignFindings(root: Json, kind: string): ContentFinding[] {
  if (!isMap(root) || typeof root.kind !== 'string' || root.kind === kind) return [];
  const command = root.apiVersion === API_VERSION && Object.hasOwn(COMMANDS, root.kind) ? COMMANDS[root.kind] : null;
  const found = `found ${quoted(root.kind)}, expected ${kind}`;
  if (command) return [{ path: ['kind'], place: 'value', message: `${found}; it is for \`${command}\`` }];
  const group = `${API_VERSION.split('/')[0]}/`;
  if (typeof root.apiVersion !== 'string' || root.apiVersion.startsWith(group)) return [];
  return [
    { path: ['apiVersion'], place: 'value', message: `found ${quoted(root.apiVersion)}, expected ${API_VERSION}` },
    { path: ['kind'], place: 'value', message: found },
  ];
}
