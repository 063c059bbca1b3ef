import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Right } from './rights.ts';

/** What a user asked an API server for, from its audit log (audit.k8s.io/v1, JSON lines, level Metadata or higher). */

const eventSchema = z.looseObject({
  stage: z.string(),
  verb: z.string(),
  requestURI: z.string(),
  user: z.looseObject({ username: z.string().optional() }),
  impersonatedUser: z.looseObject({ username: z.string().optional() }).optional(),
  responseStatus: z.looseObject({ code: z.number().optional() }).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  objectRef: z
    .looseObject({
      namespace: z.string().optional(),
      name: z.string().optional(),
      apiGroup: z.string().optional(),
      resource: z.string().optional(),
      subresource: z.string().optional(),
    })
    .optional(),
});
type AuditEvent = z.infer<typeof eventSchema>;

export interface Request {
  readonly right: Right;
  /** Whether the authorizer let it pass. What admission refused afterwards was granted all the same. */
  readonly allowed: boolean;
}

const DECISION = 'authorization.k8s.io/decision';

function rightsOf({ verb, requestURI, objectRef, responseStatus }: AuditEvent): Right[] {
  if (!objectRef?.resource) {
    return [{ verb, group: '', resource: requestURI.split('?')[0] ?? '', namespace: '*', name: '*' }];
  }
  const { apiGroup = '', resource, subresource, namespace, name } = objectRef;
  const right: Right = {
    verb,
    group: apiGroup,
    resource: subresource ? `${resource}/${subresource}` : resource,
    namespace: namespace ?? '*',
    name: name ?? '*',
  };
  // A server-side apply of what was not there: the API server asks its authorizer for `create` too.
  return verb === 'patch' && responseStatus?.code === 201 ? [right, { ...right, verb: 'create' }] : [right];
}

/** The requests of one audit event; none for somebody else's, or for a stage that comes again as a later one. */
export function requestsOf(line: string, user: string): Request[] {
  const event = eventSchema.parse(JSON.parse(line));
  const who = event.impersonatedUser?.username ?? event.user.username;
  // A watch is also written down when it begins; when it is cut off by a crash, that is all there is of it.
  if (who !== user || (event.stage !== 'ResponseComplete' && event.stage !== 'ResponseStarted')) return [];
  const decision = event.annotations?.[DECISION];
  const allowed = decision === undefined ? event.responseStatus?.code !== 403 : decision === 'allow';
  return rightsOf(event).map((right) => ({ right, allowed }));
}

const keyOf = ({ right, allowed }: Request): string => JSON.stringify([right, allowed]);

export interface AuditReading {
  /** Different requests, each once. */
  readonly requests: readonly Request[];
  /** How many audit events were the user's. */
  readonly events: number;
}

/** Reads whole files, however large: what is kept grows with the different requests alone. @throws Error for no JSON */
export async function readAudit(files: readonly string[], user: string): Promise<AuditReading> {
  const requests = new Map<string, Request>();
  let events = 0;
  for (const file of files) {
    for await (const line of createInterface({ input: createReadStream(file) })) {
      // The user's name is in its line, so most lines need no parsing. A last line may have been cut off by a crash.
      if (!line.includes(user) || !line.endsWith('}')) continue;
      const found = requestsOf(line, user);
      if (found.length > 0) events += 1;
      for (const request of found) requests.set(keyOf(request), request);
    }
  }
  return { requests: [...requests.values()], events };
}
