export const indonesian = {} as Record<string, string>;
