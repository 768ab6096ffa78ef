/* SPDX-License-Identifier: MIT */
/* A cloud-init NoCloud seed: its files through libyaml, its file system through libarchive. */
#include "cli/seed.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include "cli/readfile.h"
#include "cli/sshkey.h"
#include "cli/yaml.h"
#include "sundog/err.h"
#include "sundog/memfd.h"

enum { MAX_USER = 32, MAX_LABEL = 63, MAX_HOSTNAME = 253, MAX_USER_DATA = 1 << 20 };

/* In the order in which they are made; the last one's instance-id depends on the others. */
enum { USER_DATA, VENDOR_DATA, NETWORK_CONFIG, META_DATA, NR_FILES };

static const char *const names[NR_FILES] = {"user-data", "vendor-data", "network-config",
					    "meta-data"};

struct seed {
	struct {
		char *text; /* NULL: there is no such file */
		size_t len;
	} files[NR_FILES];
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory; close something");
}

bool seed_wanted(const struct seed_cfg *cfg)
{
	return cfg->user || cfg->hostname || cfg->user_data || (cfg->ssh_keys && *cfg->ssh_keys);
}

/* --- what is asked for ---------------------------------------------------------------- */

/* useradd(8), CAVEATS. */
static int check_user(const char *s, struct err *e)
{
	size_t n = 0;

	while (islower((unsigned char)s[n]) || s[n] == '_' ||
	       (n && (isdigit((unsigned char)s[n]) || s[n] == '-')))
		n++;
	if (!n || n > MAX_USER || s[n])
		return err_set(e, -EINVAL,
			       "--user %s is no user name; use up to %d of a-z, 0-9, _ and -", s,
			       MAX_USER);
	if (strcmp(s, "root") == 0)
		return err_set(e, -EINVAL, "root is there anyway; name the user who is to be made");
	return 0;
}

/* RFC 1123, 2.1: labels of letters, digits and inner hyphens, with dots between. */
static int check_hostname(const char *s, struct err *e)
{
	size_t label = 0, n = 0;
	bool bad = false;

	for (;; n++) {
		if (s[n] && s[n] != '.') {
			bad |= !isalnum((unsigned char)s[n]) && (s[n] != '-' || !label);
			label++;
			continue;
		}
		bad |= !label || label > MAX_LABEL || s[n - 1] == '-';
		label = 0;
		if (!s[n])
			break;
	}
	if (bad || n > MAX_HOSTNAME)
		return err_set(e, -EINVAL,
			       "--hostname %s is no host name; use letters, digits and inner "
			       "hyphens",
			       s);
	return 0;
}

/* Of all files; NULL and *e. */
static json_t *read_keys(const struct seed_cfg *cfg, struct err *e)
{
	json_t *keys = json_array();

	if (!keys) {
		no_memory(e);
		return NULL;
	}
	for (const char *const *f = cfg->ssh_keys; f && *f; f++) {
		if (ssh_keys_read(*f, keys, e)) {
			json_decref(keys);
			return NULL;
		}
	}
	return keys;
}

/* --- the files ------------------------------------------------------------------------ */

static int put_yaml(struct seed *s, int file, const char *head, json_t *tree, struct err *e)
{
	FILE *f = tree ? open_memstream(&s->files[file].text, &s->files[file].len) : NULL;
	bool ok = f && fputs(head, f) >= 0 && !yaml_write(tree, f);

	if (f && fclose(f))
		ok = false;
	json_decref(tree);
	return ok ? 0 : no_memory(e);
}

/* As cloud images have their user: no password, all rights by sudo. */
static json_t *user_tree(const char *user, json_t *keys)
{
	return json_pack("{s:[{s:s, s:s, s:b, s:s, s:O*}]}", "users", "name", user, "shell",
			 "/bin/bash", "lock_passwd", 1, "sudo", "ALL=(ALL) NOPASSWD:ALL",
			 "ssh_authorized_keys", json_array_size(keys) ? keys : NULL);
}

/* Users and keys; without a user the keys are for the distribution's own. */
static int put_config(struct seed *s, int file, const struct seed_cfg *cfg, struct err *e)
{
	json_t *keys = read_keys(cfg, e), *tree;

	if (!keys)
		return e->code;
	if (cfg->user)
		tree = user_tree(cfg->user, keys);
	else if (json_array_size(keys))
		tree = json_pack("{s:O}", "ssh_authorized_keys", keys);
	else
		tree = json_object();
	json_decref(keys);
	return put_yaml(s, file, "#cloud-config\n", tree, e);
}

/*
 * A file of the user's comes as it is, and what the other options say goes to vendor-data,
 * which the same program reads first, so that the file has the last word.
 */
static int put_user_data(struct seed *s, const struct seed_cfg *cfg, struct err *e)
{
	if (!cfg->user_data)
		return put_config(s, USER_DATA, cfg, e);
	s->files[USER_DATA].text = read_file(cfg->user_data, MAX_USER_DATA, "a cloud-init file",
					     &s->files[USER_DATA].len, e);
	return s->files[USER_DATA].text ? put_config(s, VENDOR_DATA, cfg, e) : e->code;
}

/* DHCP on all Ethernet cards.  The name is a pattern, too: not all of its readers see "match". */
static int put_network(struct seed *s, struct err *e)
{
	return put_yaml(s, NETWORK_CONFIG, "",
			json_pack("{s:i, s:{s:{s:{s:s}, s:b}}}", "version", 2, "ethernets", "e*",
				  "match", "name", "e*", "dhcp4", 1),
			e);
}

/* All that the seed says, as a number; a NULL would begin it anew. */
static uLong sum_of(const struct seed *s, const char *hostname)
{
	uLong sum = crc32(0, NULL, 0);

	if (hostname)
		sum = crc32(sum, (const Bytef *)hostname, strlen(hostname) + 1);
	for (int i = 0; i < META_DATA; i++) {
		if (!s->files[i].text)
			continue;
		sum = crc32(sum, (const Bytef *)names[i], strlen(names[i]) + 1);
		sum = crc32(sum, (const Bytef *)s->files[i].text, s->files[i].len);
	}
	return sum;
}

static int put_meta_data(struct seed *s, const char *hostname, struct err *e)
{
	json_t *tree;

	tree = json_pack("{s:o, s:s*}", "instance-id",
			 json_sprintf("sundog-%08lx", sum_of(s, hostname)), "local-hostname",
			 hostname);
	return put_yaml(s, META_DATA, "", tree, e);
}

/* --- the file system ------------------------------------------------------------------ */

static int archive_error(struct archive *a, struct err *e)
{
	return err_set(e, -EIO, "cannot make a cloud-init seed: %s; is there room in /tmp?",
		       a ? archive_error_string(a) : "out of memory");
}

static int write_one(struct archive *a, const char *name, const char *text, size_t len)
{
	struct archive_entry *entry = archive_entry_new();
	int r;

	if (!entry)
		return ARCHIVE_FATAL;
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0444);
	archive_entry_set_size(entry, (la_int64_t)len);
	archive_entry_set_mtime(entry, 0, 0);
	r = archive_write_header(a, entry);
	archive_entry_free(entry);
	if (r == ARCHIVE_OK && archive_write_data(a, text, len) != (la_ssize_t)len)
		r = ARCHIVE_FATAL;
	return r;
}

static int write_image(const struct seed *s, int fd, struct err *e)
{
	struct archive *a = archive_write_new();
	int r = a ? archive_write_set_format_iso9660(a) : ARCHIVE_FATAL;

	if (r == ARCHIVE_OK)
		r = archive_write_set_options(a, "volume-id=cidata,rockridge=useful,joliet");
	if (r == ARCHIVE_OK)
		r = archive_write_open_fd(a, fd);
	for (int i = 0; i < NR_FILES && r == ARCHIVE_OK; i++)
		if (s->files[i].text)
			r = write_one(a, names[i], s->files[i].text, s->files[i].len);
	if (r == ARCHIVE_OK)
		r = archive_write_close(a);
	r = r == ARCHIVE_OK ? 0 : archive_error(a, e);
	archive_write_free(a);
	return r;
}

static int make_image(const struct seed *s, struct err *e)
{
	int fd = memfd_new("sundog-seed", 0), r;

	if (fd < 0)
		return err_set(e, fd, "cannot make a cloud-init seed: %s", strerror(-fd));
	r = write_image(s, fd, e);
	if (r) {
		close(fd);
		return r;
	}
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return fd;
}

static int make_files(struct seed *s, const struct seed_cfg *cfg, struct err *e)
{
	int r = cfg->user ? check_user(cfg->user, e) : 0;

	if (!r && cfg->hostname)
		r = check_hostname(cfg->hostname, e);
	if (!r)
		r = put_user_data(s, cfg, e);
	if (!r)
		r = put_network(s, e);
	return r ? r : put_meta_data(s, cfg->hostname, e);
}

static void free_files(struct seed *s)
{
	for (int i = 0; i < NR_FILES; i++)
		free(s->files[i].text);
}

int seed_new(const struct seed_cfg *cfg, struct err *e)
{
	struct seed s = {0};
	int r = make_files(&s, cfg, e);

	if (!r)
		r = make_image(&s, e);
	free_files(&s);
	return r;
}
