/* The doctor's steps that look at what lies on the disk: links, modes and owners, the clock, the chain. */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "provision/device/check.h"
#include "provision/device/doctor_steps.h"
#include "provision/device/legacy.h"
#include "provision/device/operation.h"
#include "provision/device/verify.h"
#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/certificate.h"
#include "src/pki/chain.h"

/* "root:plc-mqtt 0640" */
#define OWNER_TEXT 128
static void describe_owner(const struct stat *about, char ret[OWNER_TEXT])
{
    char user_text[32], group_text[32];
    snprintf(user_text, sizeof user_text, "%" PRIdMAX, (intmax_t)about->st_uid);
    snprintf(group_text, sizeof group_text, "%" PRIdMAX, (intmax_t)about->st_gid);
    const struct passwd *user = getpwuid(about->st_uid);
    const struct group *group = getgrgid(about->st_gid);
    snprintf(ret, OWNER_TEXT, "%s:%s %04o", user ? user->pw_name : user_text,
             group ? group->gr_name : group_text, (unsigned)about->st_mode & 07777);
}

/* The names that clients are given lead to the current generation. */
static bool look_links(struct doctor *doctor)
{
    static const char *const names[] = {DEV_CA, DEV_CERTIFICATE, DEV_KEY};
    const char *dir = doctor->dev->settings.dir;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[DEV_PATH_MAX], target[DEV_LINK_MAX], wanted[DEV_LINK_MAX];
        if (doctor->installed.record.legacy && strcmp(names[i], DEV_KEY) == 0)
            continue;
        dev_path(path, "%s/%s", dir, names[i]);
        snprintf(wanted, sizeof wanted, "current/%s", names[i]);
        if (dev_link_read(path, target) < 0 || (target[0] && strcmp(target, wanted) != 0)) {
            doctor_fault(doctor, PC_EREFUSED, "files-foreign", "%s: is not our link to %s", path, wanted);
            doctor_advise(doctor, "Move it away, then plantcert install the certificate again.");
            return false;
        }
        if (!target[0]) {
            doctor_fault(doctor, PC_EREFUSED, "files-missing", "%s: is not there", path);
            doctor_advise(doctor, "plantcert install the certificate again.");
            return false;
        }
    }
    return true;
}

static bool may(const struct stat *about, const struct dev_readers *readers, mode_t others, mode_t group)
{
    return (about->st_mode & others) != 0 ||
           (readers->group && about->st_gid == readers->gid && (about->st_mode & group) != 0);
}

/* Every folder from / to the generation must let the group pass. */
static bool look_folders(struct doctor *doctor, const struct dev_readers *readers)
{
    char path[DEV_PATH_MAX];
    dev_path(path, "%s/generations/%s/", doctor->dev->settings.dir, doctor->installed.name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct stat about;
        char owner[OWNER_TEXT];
        *slash = '\0';
        bool there = stat(path, &about) == 0;
        if (there && readers->group && !may(&about, readers, S_IXOTH, S_IXGRP)) {
            describe_owner(&about, owner);
            doctor_fault(doctor, PC_EUSAGE, "files-folder", "%s is %s: group %s may not pass it", path, owner,
                         doctor->dev->settings.group);
            doctor_advise(doctor, "chmod o+x %s", path);
            return false;
        }
        *slash = '/';
    }
    return true;
}

/* One file of the set: the certificates are everybody's, the key file is the group's, where there is one. */
static bool look_file(struct doctor *doctor, const char *name, const struct dev_readers *readers)
{
    bool key = strcmp(name, DEV_KEY) == 0;
    char path[DEV_PATH_MAX], owner[OWNER_TEXT];
    const char *group = doctor->dev->settings.group;
    struct stat about;
    dev_path(path, "%s/generations/%s/%s", doctor->dev->settings.dir, doctor->installed.name, name);
    if (stat(path, &about) != 0) {
        doctor_fault(doctor, PC_EREFUSED, "files-missing", "%s: %s", path, strerror(errno));
        doctor_advise(doctor, "plantcert install the certificate again.");
        return false;
    }
    describe_owner(&about, owner);
    if (key && readers->group && !may(&about, readers, S_IROTH, S_IRGRP)) {
        doctor_fault(doctor, PC_EUSAGE, "files-group", "%s is %s: group %s may not read it", path, owner,
                     group);
        doctor_advise(doctor, "chgrp %s %s && chmod 0640 %s; or plantcert install the certificate again.",
                      group, path, path);
        return false;
    }
    if (!key && !may(&about, readers, S_IROTH, S_IRGRP)) {
        doctor_fault(doctor, PC_EUSAGE, "files-mode", "%s is %s: clients may not read it", path, owner);
        doctor_advise(doctor, "chmod 0644 %s", path);
        return false;
    }
    if (access(path, R_OK) != 0) {
        doctor_fault(doctor, PC_EUSAGE, "files-closed", "%s is %s: this user may not read it", path, owner);
        doctor_advise(doctor,
                      "Run this as root; where it is the MQTT client's user, put that into the group that "
                      "[device] group names.");
        return false;
    }
    if (key && (about.st_mode & S_IROTH) != 0) {
        doctor_find(doctor, DEV_WARNING, "%s is %s: every user may use the key who may open the TPM", path,
                    owner);
        doctor_advise(doctor, "chmod o-r %s", path);
    }
    return true;
}

/* Who may write there may put another identity in the place of ours. */
static void look_writers(struct doctor *doctor)
{
    static const char *const places[] = {"", "/generations"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char path[DEV_PATH_MAX], owner[OWNER_TEXT];
        struct stat about;
        dev_path(path, "%s%s", doctor->dev->settings.dir, places[i]);
        if (stat(path, &about) != 0 ||
            ((about.st_mode & (S_IWGRP | S_IWOTH)) == 0 && (about.st_uid == 0 || about.st_uid == geteuid())))
            continue;
        describe_owner(&about, owner);
        doctor_find(doctor, DEV_WARNING, "%s is %s: others than root may change what is installed", path,
                    owner);
        doctor_advise(doctor, "chown root %s && chmod go-w %s", path, path);
    }
}

void doctor_files(struct doctor *doctor)
{
    static const char *const names[] = {DEV_CA, DEV_CERTIFICATE, DEV_KEY};
    const struct dev_settings *settings = &doctor->dev->settings;
    struct dev_readers readers;
    if (dev_readers(doctor->dev, &readers) < 0) {
        doctor_fault_error(doctor);
        return;
    }
    if (!look_links(doctor) || !look_folders(doctor, &readers))
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!(doctor->installed.record.legacy && strcmp(names[i], DEV_KEY) == 0) &&
            !look_file(doctor, names[i], &readers))
            return;
    look_writers(doctor);
    if (!doctor->installed.record.legacy && dev_legacy_key(settings->dir)) {
        doctor_find(doctor, DEV_WARNING, "%s/" DEV_LEGACY_KEY ": the private key of before is still there",
                    settings->dir);
        doctor_advise(doctor, "When the new identity is confirmed: plantcert forget --legacy.");
    }
    doctor_find(doctor, DEV_FINE, "%s, generation %s; the key's file is for root%s%s", settings->dir,
                doctor->installed.name, readers.group ? " and group " : " alone",
                readers.group ? settings->group : "");
}

/* --- the clock --- */

/* Before the beginning of every anchor no TLS client on this machine believes any broker. */
static bool before_all(const STACK_OF(X509) * anchors, int64_t now)
{
    for (int i = 0; i < sk_X509_num(anchors); i++) {
        int64_t not_before, not_after;
        if (pki_certificate_dates(sk_X509_value(anchors, i), &not_before, &not_after) < 0 ||
            now >= not_before)
            return false;
    }
    return true;
}

void doctor_clock(struct doctor *doctor)
{
    const struct dev_set *set = &doctor->installed.set;
    struct dev_clock *clock = &doctor->clock;
    char now[PC_TIME_TEXT], floor[PC_TIME_TEXT];
    int r = pki_chain_parse(set->ca.data, set->ca.len, &doctor->anchors);
    if (r < 0)
        r = pc_fail_in("%s/" DEV_CA, doctor->dev->settings.dir);
    if (r == 0)
        r = dev_verify_clock(doctor->dev, &doctor->installed, NULL, clock);
    if (r < 0) {
        doctor_fault_error(doctor);
        return;
    }
    pc_time_format(clock->now, now);
    pc_time_format(clock->floor, floor);
    if (clock->implausible || before_all(doctor->anchors, clock->now)) {
        bool late = clock->implausible;
        doctor_fault(doctor, PC_EREFUSED, "clock-wrong", "the machine's clock says %s, %s%s", now,
                     late            ? "after the end of the trust anchor"
                     : clock->behind ? "and it is later than "
                                     : "before the trust anchor begins",
                     !late && clock->behind ? floor : "");
        doctor_advise(doctor,
                      "Set the clock (timedatectl, NTP): no TLS client believes a broker at such a time.");
    } else if (clock->behind) {
        doctor_find(doctor, DEV_WARNING, "the machine's clock says %s, and it is %s or later", now, floor);
        doctor_advise(doctor,
                      "Set the clock (timedatectl, NTP): TLS clients may take the broker's certificate for "
                      "not yet valid.");
    } else {
        doctor_find(doctor, DEV_FINE, "%s, not before what signatures prove", now);
    }
}

/* --- the chain --- */

void doctor_chain(struct doctor *doctor)
{
    const struct dev_installed *installed = &doctor->installed;
    const struct dev_settings *settings = &doctor->dev->settings;
    struct dev_leaf leaf;
    char until[PC_TIME_TEXT];
    int r = pki_chain_parse(installed->set.certificate.data, installed->set.certificate.len, &doctor->chain);
    if (r == 0)
        r = dev_leaf_describe(installed->leaf, &leaf);
    if (r == 0)
        r = dev_verify_set(doctor->dev, installed,
                           doctor->clock.at > leaf.not_before ? doctor->clock.at : leaf.not_before);
    if (r < 0) {
        doctor_fault_error(doctor);
        return;
    }
    pc_time_format(leaf.not_after, until);
    bool due = doctor->clock.at >= leaf.not_after - settings->renew_before;
    doctor_find(doctor, due ? DEV_WARNING : DEV_FINE, "%s, serial %s, to ca.crt, until %s", leaf.cn,
                leaf.serial, until);
    if (due)
        doctor_advise(doctor, "%s", doctor->status.next);
}
