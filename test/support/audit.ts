import { createReadStream, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { USER_AGENT } from '../../src/cluster/transport.ts';

const WRITE_VERBS = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

export interface AuditEntry {
  readonly verb: string;
  readonly uri: string;
  readonly userAgent: string;
  /** `system:serviceaccount:NAMESPACE:NAME`, or a certificate's name. */
  readonly user: string;
  readonly code: number;
  readonly namespace: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly resource: string;
}

interface AuditLine {
  readonly verb: string;
  readonly requestURI: string;
  readonly userAgent?: string;
  readonly user: { readonly username?: string };
  readonly stage: string;
  readonly responseStatus?: { readonly code?: number };
  readonly objectRef?: { readonly namespace?: string; readonly apiGroup?: string; readonly resource?: string };
}

/** Where an API server's audit log ends now; what is written after it belongs to what follows. */
export const auditMark = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

/** All completed requests since `mark`, of everybody or of one user agent. */
export async function auditSince(path: string, mark: number, userAgent?: string): Promise<AuditEntry[]> {
  const entries: AuditEntry[] = [];
  for await (const line of createInterface({ input: createReadStream(path, { start: mark }) })) {
    if (line === '') continue;
    const event = JSON.parse(line) as AuditLine;
    if (event.stage !== 'ResponseComplete') continue;
    if (userAgent !== undefined && event.userAgent !== userAgent) continue;
    entries.push({
      verb: event.verb,
      uri: event.requestURI,
      userAgent: event.userAgent ?? '',
      user: event.user.username ?? '',
      code: event.responseStatus?.code ?? 0,
      namespace: event.objectRef?.namespace ?? '',
      group: event.objectRef?.apiGroup ?? '',
      resource: event.objectRef?.resource ?? '',
    });
  }
  return entries;
}

/** The writes that Bulkhead itself sent since `mark`, refused ones included. A dry run, as the fence's proof, is none. */
export const writesSince = async (path: string, mark: number): Promise<AuditEntry[]> =>
  (await auditSince(path, mark, USER_AGENT)).filter(
    (entry) => WRITE_VERBS.has(entry.verb) && !entry.uri.includes('dryRun=All'),
  );

/** Whether a write raised the fence: a claim of shards does that, whatever there is to do for their jobs. */
export const raisesFence = (entry: AuditEntry): boolean => entry.resource === 'configmaps';
