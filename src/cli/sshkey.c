/* SPDX-License-Identifier: MIT */
/*
 * Files with SSH public keys.  A line is "TYPE BASE64 [COMMENT]" (sshd(8), AUTHORIZED_KEYS FILE
 * FORMAT); the bytes begin with the length of the type's name in four bytes and the name again
 * (RFC 4253, Public Key Algorithms).
 */
#include "cli/sshkey.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/readfile.h"
#include "sundog/err.h"

enum { MAX_FILE = 64 << 10, MAX_TYPE = 64 };

static const char *const types[] = {
	"ssh-ed25519",
	"ssh-rsa",
	"ecdsa-sha2-nistp256",
	"ecdsa-sha2-nistp384",
	"ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com",
	"sk-ecdsa-sha2-nistp256@openssh.com",
};

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

/* Whether base64 text of len digits begins with these bytes, and is base64 to its end. */
static bool base64_begins(const char *s, size_t len, const u8 *want, size_t n)
{
	u32 bits = 0;
	size_t have = 0, digits = len;

	while (digits && len - digits < 2 && s[digits - 1] == '=')
		digits--;
	if (len % 4 || digits * 3 / 4 <= n)
		return false;
	for (size_t i = 0; i < digits; i++) {
		int d = base64_digit(s[i]);

		if (d < 0)
			return false;
		bits = bits << 6 | (u32)d;
		if (i % 4 == 0)
			continue;
		/* Of each four digits all but the first complete a byte. */
		if (have < n && (u8)(bits >> (6 - 2 * (i % 4))) != want[have])
			return false;
		have++;
	}
	return true;
}

static bool is_key_of(const char *type, const char *line, size_t len)
{
	size_t n = strlen(type), data;
	u8 want[4 + MAX_TYPE] = {0, 0, 0, (u8)n};

	if (len <= n || strncmp(line, type, n) != 0 || line[n] != ' ')
		return false;
	memcpy(want + 4, type, n);
	line += n + 1;
	len -= n + 1;
	for (data = 0; data < len && line[data] != ' '; data++)
		;
	return base64_begins(line, data, want, 4 + n);
}

bool ssh_key_valid(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (iscntrl((unsigned char)line[i]))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (is_key_of(types[i], line, len))
			return true;
	return false;
}

static int add_lines(const char *path, const char *text, json_t *keys, struct err *e)
{
	size_t found = 0;

	for (unsigned nr = 1; *text; nr++) {
		size_t line = strcspn(text, "\n"), len = line;

		while (len && isspace((unsigned char)text[len - 1]))
			len--;
		if (len && *text != '#') {
			if (!ssh_key_valid(text, len))
				return err_set(e, -EINVAL,
					       "%s:%u: not an SSH public key; name a file like "
					       "~/.ssh/id_ed25519.pub",
					       path, nr);
			if (json_array_append_new(keys, json_stringn(text, len)))
				return err_set(e, -EINVAL, "%s:%u: not UTF-8; shorten the comment",
					       path, nr);
			found++;
		}
		text += line + (text[line] == '\n');
	}
	if (!found)
		return err_set(e, -EINVAL, "%s has no SSH public key; ssh-keygen makes one", path);
	return 0;
}

int ssh_keys_read(const char *path, json_t *keys, struct err *e)
{
	size_t len;
	char *text = read_file(path, MAX_FILE, "a file with an SSH public key", &len, e);
	int r;

	if (!text)
		return e->code;
	if (strstr(text, "PRIVATE KEY"))
		r = err_set(e, -EINVAL, "%s is a private key, which no guest may see; name %s.pub",
			    path, path);
	else if (strlen(text) != len)
		r = err_set(e, -EINVAL, "%s is not text; name a file with an SSH public key", path);
	else
		r = add_lines(path, text, keys, e);
	free(text);
	return r;
}
